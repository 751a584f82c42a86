#include "common/text/jinja/template_parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "common/text/jinja/expression_parser.h"

namespace bitnetd::text::jinja {

namespace {

using Node = std::unique_ptr<Statement>;

class TemplateParser {
  public:
    explicit TemplateParser(std::vector<Token> tokens)
        : tokens_(std::move(tokens)), expressions_(tokens_) {}

    Result<Body> run() {
        BITNETD_ASSIGN(Body result, body({}));
        if (!tokens_.is(TokenKind::kEnd)) return tokens_.unexpected("the end");
        for (const auto& [name, line] : expressions_.called()) {
            if (std::find(macros_.begin(), macros_.end(), name) == macros_.end()) {
                return error_at(line, "unknown function '" + name + "'");
            }
        }
        return result;
    }

  private:
    // Statements up to a tag that begins with one of `ends`; that tag's "{%" is consumed and its
    // name is the current token. Up to the end of the template when `ends` is empty.
    Result<Body> body(std::initializer_list<std::string_view> ends) {
        if (nesting_ >= kStatementNestingMax) {
            return error_at(tokens_.line(), "tags are nested too deeply");
        }
        ++nesting_;
        Body statements;
        while (!tokens_.is(TokenKind::kEnd)) {
            if (tokens_.is(TokenKind::kBlockBegin) && is_end(tokens_.next(), ends)) {
                tokens_.advance();
                --nesting_;
                return statements;
            }
            BITNETD_ASSIGN(Node next, statement());
            statements.push_back(std::move(next));
        }
        --nesting_;
        if (ends.size() > 0) return tokens_.unexpected("'" + std::string(*(ends.end() - 1)) + "'");
        return statements;
    }
    static bool is_end(const Token& token, std::initializer_list<std::string_view> ends) {
        return token.kind == TokenKind::kName &&
               std::find(ends.begin(), ends.end(), token.text) != ends.end();
    }

    Node node(StatementKind kind) const {
        auto result = std::make_unique<Statement>();
        result->kind = kind;
        result->line = tokens_.line();
        return result;
    }
    Result<void> end_tag() { return tokens_.expect(TokenKind::kBlockEnd, "'%}'"); }
    // The "endfor %}" behind a body that stopped there.
    Result<void> close() {
        tokens_.advance();
        return end_tag();
    }

    Result<Node> statement() {
        if (tokens_.is(TokenKind::kText)) {
            Node result = node(StatementKind::kText);
            result->text = tokens_.current().text;
            tokens_.advance();
            return result;
        }
        if (tokens_.is(TokenKind::kPrintBegin)) {
            Node result = node(StatementKind::kPrint);
            tokens_.advance();
            BITNETD_ASSIGN(result->value, expressions_.expression_or_tuple());
            BITNETD_TRY(tokens_.expect(TokenKind::kPrintEnd, "'}}'"));
            return result;
        }
        BITNETD_TRY(tokens_.expect(TokenKind::kBlockBegin, "a tag"));
        return tag();
    }

    Result<Node> tag() {
        using Rule = Result<Node> (TemplateParser::*)();
        constexpr std::pair<std::string_view, Rule> kTags[] = {
            {"if", &TemplateParser::if_tag},       {"for", &TemplateParser::for_tag},
            {"set", &TemplateParser::set_tag},     {"macro", &TemplateParser::macro_tag},
            {"do", &TemplateParser::do_tag},       {"generation", &TemplateParser::generation_tag},
            {"break", &TemplateParser::break_tag}, {"continue", &TemplateParser::continue_tag},
        };
        for (const auto& [name, rule] : kTags) {
            if (tokens_.skip_name(name)) return (this->*rule)();
        }
        return error_at(tokens_.line(),
                        "the tag '" + tokens_.current().text.substr(0, 40) + "' is not supported");
    }

    Result<Node> if_tag() {
        Node result = node(StatementKind::kIf);
        bool has_condition = true;
        while (true) {
            Branch branch;
            if (has_condition) {
                BITNETD_ASSIGN(branch.condition, expressions_.expression_or_tuple());
            }
            BITNETD_TRY(end_tag());
            if (has_condition) {
                BITNETD_ASSIGN(branch.body, body({"elif", "else", "endif"}));
            } else {
                BITNETD_ASSIGN(branch.body, body({"endif"}));
            }
            result->branches.push_back(std::move(branch));
            if (tokens_.is_name("endif")) break;
            has_condition = tokens_.is_name("elif");
            tokens_.advance();
        }
        BITNETD_TRY(close());
        return result;
    }

    Result<std::vector<std::string>> targets() {
        std::vector<std::string> names;
        const bool parenthesised = tokens_.skip_operator("(");
        do {
            BITNETD_ASSIGN(std::string name, tokens_.expect_name("a variable"));
            names.push_back(std::move(name));
        } while (tokens_.skip_operator(","));
        if (parenthesised) BITNETD_TRY(tokens_.expect_operator(")"));
        return names;
    }

    Result<Node> for_tag() {
        Node result = node(StatementKind::kFor);
        BITNETD_ASSIGN(result->targets, targets());
        if (!tokens_.skip_name("in")) return tokens_.unexpected("'in'");
        BITNETD_ASSIGN(result->value, expressions_.iterable());
        if (tokens_.skip_name("if")) {
            BITNETD_ASSIGN(result->condition, expressions_.expression());
        }
        if (tokens_.is_name("recursive")) {
            return error_at(tokens_.line(), "recursive loops are not supported");
        }
        BITNETD_TRY(end_tag());
        ++loops_;
        BITNETD_ASSIGN(result->body, body({"else", "endfor"}));
        --loops_;
        if (tokens_.skip_name("else")) {
            BITNETD_TRY(end_tag());
            BITNETD_ASSIGN(result->otherwise, body({"endfor"}));
        }
        BITNETD_TRY(close());
        return result;
    }

    Result<Node> set_tag() {
        Node result = node(StatementKind::kSet);
        BITNETD_ASSIGN(result->targets, targets());
        if (result->targets.size() == 1 && tokens_.skip_operator(".")) {
            BITNETD_ASSIGN(result->attribute, tokens_.expect_name("an attribute"));
        }
        if (tokens_.skip_operator("=")) {
            BITNETD_ASSIGN(result->value, expressions_.expression_or_tuple());
            BITNETD_TRY(end_tag());
            return result;
        }
        if (result->targets.size() != 1 || !result->attribute.empty()) {
            return tokens_.unexpected("'='");
        }
        result->kind = StatementKind::kSetBlock;
        if (tokens_.is_operator("|")) {
            return error_at(tokens_.line(), "filters on a set block are not supported");
        }
        BITNETD_TRY(end_tag());
        BITNETD_ASSIGN(result->body, body({"endset"}));
        BITNETD_TRY(close());
        return result;
    }

    // Only at the top level, so that a macro sees its arguments and the top-level variables, and
    // nothing that can go away.
    Result<Node> macro_tag() {
        Node result = node(StatementKind::kMacro);
        if (loops_ > 0 || inside_macro_) {
            return error_at(result->line, "a macro must be defined at the top level");
        }
        BITNETD_ASSIGN(result->name, tokens_.expect_name("the macro's name"));
        BITNETD_TRY(tokens_.expect_operator("("));
        while (!tokens_.is_operator(")")) {
            Argument parameter;
            BITNETD_ASSIGN(parameter.name, tokens_.expect_name("a parameter"));
            if (tokens_.skip_operator("=")) {
                BITNETD_ASSIGN(parameter.value, expressions_.expression());
            }
            result->parameters.push_back(std::move(parameter));
            if (!tokens_.skip_operator(",")) break;
        }
        BITNETD_TRY(tokens_.expect_operator(")"));
        BITNETD_TRY(end_tag());
        inside_macro_ = true;
        macros_.push_back(result->name);
        BITNETD_ASSIGN(result->body, body({"endmacro"}));
        inside_macro_ = false;
        BITNETD_TRY(close());
        return result;
    }

    Result<Node> do_tag() {
        Node result = node(StatementKind::kDo);
        BITNETD_ASSIGN(result->value, expressions_.expression_or_tuple());
        BITNETD_TRY(end_tag());
        return result;
    }

    // Marks what the assistant says, for training; here just its contents.
    Result<Node> generation_tag() {
        Node result = node(StatementKind::kBlock);
        BITNETD_TRY(end_tag());
        BITNETD_ASSIGN(result->body, body({"endgeneration"}));
        BITNETD_TRY(close());
        return result;
    }

    Result<Node> break_tag() { return loop_control(StatementKind::kBreak); }
    Result<Node> continue_tag() { return loop_control(StatementKind::kContinue); }
    Result<Node> loop_control(StatementKind kind) {
        Node result = node(kind);
        if (loops_ == 0) return error_at(result->line, "not inside a loop");
        BITNETD_TRY(end_tag());
        return result;
    }

    TokenStream tokens_;
    ExpressionParser expressions_;
    uint32_t nesting_ = 0;
    uint32_t loops_ = 0;
    bool inside_macro_ = false;
    std::vector<std::string> macros_;
};

}  // namespace

Result<Body> parse_template(std::string_view source) {
    BITNETD_ASSIGN(std::vector<Token> tokens, tokenize(source));
    return TemplateParser(std::move(tokens)).run();
}

}  // namespace bitnetd::text::jinja
