// A cursor over the tokens of a template, shared by the two parsers.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "common/text/jinja/lexer.h"

namespace bitnetd::text::jinja {

class TokenStream {
  public:
    explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

    const Token& current() const { return tokens_[at_]; }
    // The token behind the current one, or the end.
    const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
    uint32_t line() const { return current().line; }
    void advance() {
        if (at_ + 1 < tokens_.size()) ++at_;
    }

    bool is(TokenKind kind) const { return current().kind == kind; }
    bool is_operator(std::string_view text) const {
        return is(TokenKind::kOperator) && current().text == text;
    }
    bool is_name(std::string_view text) const {
        return is(TokenKind::kName) && current().text == text;
    }
    bool skip_operator(std::string_view text) {
        const bool found = is_operator(text);
        if (found) advance();
        return found;
    }
    bool skip_name(std::string_view text) {
        const bool found = is_name(text);
        if (found) advance();
        return found;
    }

    Result<void> expect_operator(std::string_view text) {
        if (skip_operator(text)) return {};
        return unexpected("'" + std::string(text) + "'");
    }
    Result<void> expect(TokenKind kind, std::string_view what) {
        if (!is(kind)) return unexpected(what);
        advance();
        return {};
    }
    Result<std::string> expect_name(std::string_view what) {
        if (!is(TokenKind::kName)) return unexpected(what);
        std::string name = current().text;
        advance();
        return name;
    }
    // "expected ..., found ..." at the current token.
    Error unexpected(std::string_view wanted) const {
        std::string found = is(TokenKind::kEnd)      ? "the end of the template"
                            : current().text.empty() ? "the end of the tag"
                                                     : "'" + current().text.substr(0, 40) + "'";
        return error_at(line(), "expected " + std::string(wanted) + ", found " + found);
    }

  private:
    std::vector<Token> tokens_;  // never empty; the last is kEnd
    size_t at_ = 0;
};

}  // namespace bitnetd::text::jinja
