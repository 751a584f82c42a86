#include "common/text/jinja/lexer.h"

#include <algorithm>
#include <optional>

#include "common/text/jinja/strings.h"
#include "common/text/utf8.h"

namespace bitnetd::text::jinja {

namespace {

constexpr size_t kNone = std::string_view::npos;

bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_name_part(char c) {
    return is_name_start(c) || is_digit(c);
}

// \r\n and \r become \n; one newline at the end is dropped.
std::string normalise(std::string_view source) {
    std::string out;
    out.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
        if (source[i] != '\r')
            out += source[i];
        else if (i + 1 == source.size() || source[i + 1] != '\n')
            out += '\n';
    }
    if (out.ends_with('\n')) out.pop_back();
    return out;
}

std::string_view strip_right(std::string_view text) {
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    return text;
}

class Lexer {
  public:
    explicit Lexer(std::string source) : source_(std::move(source)) {}

    Result<std::vector<Token>> run() {
        while (at_ < source_.size()) {
            const size_t tag = find_tag();
            BITNETD_TRY(tag == kNone ? take_last_text() : take_tag(tag));
        }
        add(TokenKind::kEnd, "");
        return std::move(tokens_);
    }

  private:
    std::string_view rest() const { return std::string_view(source_).substr(at_); }

    void advance(size_t bytes) {
        line_ += static_cast<uint32_t>(
            std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                       source_.begin() + static_cast<ptrdiff_t>(at_ + bytes), '\n'));
        at_ += bytes;
    }
    void skip_blanks() {
        size_t bytes = 0;
        while (at_ + bytes < source_.size() && is_blank(source_[at_ + bytes]))
            ++bytes;
        advance(bytes);
    }
    void add(TokenKind kind, std::string_view text) {
        tokens_.push_back({kind, std::string(text), line_});
    }

    // The next "{{", "{%" or "{#".
    size_t find_tag() const {
        for (size_t at = source_.find('{', at_); at != kNone; at = source_.find('{', at + 1)) {
            const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
            if (next == '{' || next == '%' || next == '#') return at;
        }
        return kNone;
    }

    Result<void> take_last_text() {
        add(TokenKind::kText, rest());
        advance(source_.size() - at_);
        return {};
    }

    // The text before a tag, cut as the tag's sign and lstrip_blocks say, then the tag.
    Result<void> take_tag(size_t tag) {
        const char kind = source_[tag + 1];
        const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
        const bool has_sign = sign == '-' || sign == '+';
        std::string_view text = std::string_view(source_).substr(at_, tag - at_);
        if (sign == '-')
            text = strip_right(text);
        else if (sign != '+' && kind != '{')
            text = strip_line_start(text);
        if (!text.empty()) add(TokenKind::kText, text);
        advance(tag - at_ + 2 + (has_sign ? 1 : 0));
        if (kind == '#') return skip_comment();
        if (kind == '{') return take_inside(TokenKind::kPrintBegin, "}}");
        if (const auto end = raw_tag_end(at_, "raw")) return take_raw(*end);
        return take_inside(TokenKind::kBlockBegin, "%}");
    }

    // Blanks between the start of a line and the tag go away.
    std::string_view strip_line_start(std::string_view text) const {
        const size_t newline = text.rfind('\n');
        const bool at_line_start = newline != kNone || at_ == 0 || source_[at_ - 1] == '\n';
        if (!at_line_start) return text;
        const size_t begin = newline == kNone ? 0 : newline + 1;
        const std::string_view line = text.substr(begin);
        return std::all_of(line.begin(), line.end(), is_blank) ? text.substr(0, begin) : text;
    }

    // Behind a closing "%}" or "#}": "-" strips all white space, else one newline goes.
    void finish_tag(char sign) {
        if (sign == '-')
            skip_blanks();
        else if (sign != '+' && rest().starts_with('\n'))
            advance(1);
    }

    Result<void> skip_comment() {
        const uint32_t line = line_;
        const size_t end = source_.find("#}", at_);
        if (end == kNone) return error_at(line, "the comment is not closed");
        const char sign = end > at_ ? source_[end - 1] : '\0';
        advance(end + 2 - at_);
        finish_tag(sign);
        return {};
    }

    // Where the tag "<word> %}" that starts at `at` ends, counted behind its "%}".
    std::optional<size_t> raw_tag_end(size_t at, std::string_view word) const {
        const std::string_view source = source_;
        while (at < source.size() && is_blank(source[at]))
            ++at;
        if (!source.substr(at).starts_with(word)) return std::nullopt;
        at += word.size();
        while (at < source.size() && is_blank(source[at]))
            ++at;
        if (at < source.size() && (source[at] == '-' || source[at] == '+')) ++at;
        if (!source.substr(at).starts_with("%}")) return std::nullopt;
        return at + 2;
    }

    // {% raw %} ... {% endraw %}: text as it stands.
    Result<void> take_raw(size_t begin) {
        const uint32_t line = line_;
        advance(begin - at_);
        if (source_[at_ - 3] == '-') skip_blanks();  // no trim_blocks here
        for (size_t tag = source_.find("{%", at_); tag != kNone;
             tag = source_.find("{%", tag + 1)) {
            size_t word = tag + 2;
            const char sign = word < source_.size() ? source_[word] : '\0';
            if (sign == '-' || sign == '+') ++word;
            const auto end = raw_tag_end(word, "endraw");
            if (!end) continue;
            std::string_view text = std::string_view(source_).substr(at_, tag - at_);
            if (sign == '-')
                text = strip_right(text);
            else if (sign != '+')
                text = strip_line_start(text);
            if (!text.empty()) add(TokenKind::kText, text);
            advance(*end - at_);
            finish_tag(source_[at_ - 3]);
            return {};
        }
        return error_at(line, "raw is not closed");
    }

    // The tokens of one tag, its end included. Inside brackets the end marker is no end.
    Result<void> take_inside(TokenKind begin, std::string_view end) {
        const uint32_t line = line_;
        add(begin, "");
        int brackets = 0;
        while (true) {
            skip_blanks();
            if (at_ == source_.size()) return error_at(line, "the tag is not closed");
            const bool may_sign = rest()[0] == '-' || (rest()[0] == '+' && end == "%}");
            const bool signed_end = may_sign && rest().substr(1).starts_with(end);
            if (brackets == 0 && (signed_end || rest().starts_with(end))) {
                const char sign = signed_end ? rest()[0] : '\0';
                add(end == "%}" ? TokenKind::kBlockEnd : TokenKind::kPrintEnd, "");
                advance(end.size() + (signed_end ? 1 : 0));
                // Behind "}}" only the "-" means something.
                if (end == "%}" || sign == '-') finish_tag(sign);
                return {};
            }
            BITNETD_TRY(take_token(brackets));
        }
    }

    Result<void> take_token(int& brackets) {
        const char c = rest()[0];
        if (is_name_start(c)) {
            size_t bytes = 1;
            while (bytes < rest().size() && is_name_part(rest()[bytes]))
                ++bytes;
            add(TokenKind::kName, rest().substr(0, bytes));
            advance(bytes);
            return {};
        }
        if (is_digit(c)) return take_number();
        if (c == '\'' || c == '"') return take_string(c);
        constexpr std::string_view kOperators[] = {
            "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
            "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};
        for (const std::string_view op : kOperators) {
            if (!rest().starts_with(op)) continue;
            if (c == '(' || c == '[' || c == '{') ++brackets;
            if ((c == ')' || c == ']' || c == '}') && --brackets < 0) {
                return error_at(line_, "unexpected '" + std::string(op) + "'");
            }
            add(TokenKind::kOperator, op);
            advance(op.size());
            return {};
        }
        return error_at(line_, "unexpected character in a tag");
    }

    // 12, 1_000, 1.5, 1e3, 1.5e-3. Behind a dot (x.1.0) a number is an index: digits only.
    Result<void> take_number() {
        std::string text;
        const auto digits = [&](size_t at) {
            for (; at < rest().size() && (is_digit(rest()[at]) || rest()[at] == '_'); ++at) {
                if (rest()[at] != '_') text += rest()[at];
            }
            return at;
        };
        const auto digit_at = [&](size_t at) { return at < rest().size() && is_digit(rest()[at]); };
        const bool is_index =
            tokens_.back().kind == TokenKind::kOperator && tokens_.back().text == ".";
        TokenKind kind = TokenKind::kInteger;
        size_t bytes = digits(0);
        if (!is_index && digit_at(bytes + 1) && rest()[bytes] == '.') {
            kind = TokenKind::kFloat;
            text += '.';
            bytes = digits(bytes + 1);
        }
        if (!is_index && bytes < rest().size() && (rest()[bytes] | 0x20) == 'e') {
            const char sign = bytes + 1 < rest().size() ? rest()[bytes + 1] : '\0';
            const size_t exponent = bytes + (sign == '-' || sign == '+' ? 2 : 1);
            if (digit_at(exponent)) {
                kind = TokenKind::kFloat;
                text += sign == '-' ? "e-" : "e";
                bytes = digits(exponent);
            }
        }
        add(kind, text);
        advance(bytes);
        return {};
    }

    Result<void> take_string(char quote) {
        const uint32_t line = line_;
        std::string text;
        size_t at = 1;
        const std::string_view source = rest();
        while (at < source.size() && source[at] != quote) {
            if (source[at] != '\\') {
                text += source[at++];
                continue;
            }
            const size_t bytes = append_escape(source.substr(at), text);
            if (bytes == 0) return error_at(line, "bad escape in a string");
            at += bytes;
        }
        if (at >= source.size()) return error_at(line, "the string is not closed");
        tokens_.push_back({TokenKind::kString, std::move(text), line});
        advance(at + 1);
        return {};
    }

    // The escape at the start of `source`, which begins with a backslash; its bytes, 0 when
    // malformed.
    static size_t append_escape(std::string_view source, std::string& out) {
        if (source.size() < 2) return 0;
        constexpr std::string_view kNames = "\\'\"abfnrtv";
        constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
        const char name = source[1];
        if (name == '\n') return 2;  // a line that goes on
        if (const size_t known = kNames.find(name); known != kNone) {
            out += kValues[known];
            return 2;
        }
        const size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : name == 'U' ? 8 : 0;
        if (digits == 0) {  // Python keeps the backslash
            out += '\\';
            return 1;
        }
        if (source.size() < 2 + digits) return 0;
        uint32_t value = 0;
        for (const char c : source.substr(2, digits)) {
            const char low = static_cast<char>(c | 0x20);
            if (!is_digit(c) && (low < 'a' || low > 'f')) return 0;
            value = value << 4 | static_cast<uint32_t>(is_digit(c) ? c - '0' : low - 'a' + 10);
        }
        if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 0;
        append_utf8(out, value);
        return 2 + digits;
    }

    std::string source_;
    size_t at_ = 0;
    uint32_t line_ = 1;
    std::vector<Token> tokens_;
};

}  // namespace

Error error_at(uint32_t line, std::string what) {
    return invalid("line " + std::to_string(line) + ": " + std::move(what));
}

Result<std::vector<Token>> tokenize(std::string_view source) {
    return Lexer(normalise(source)).run();
}

}  // namespace bitnetd::text::jinja
