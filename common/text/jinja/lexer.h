// Template source to tokens, with Jinja's white-space rules as Hugging Face sets them: trim_blocks
// and lstrip_blocks on, a single newline at the very end dropped, "-" and "+" inside tags.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::text::jinja {

enum class TokenKind : uint8_t {
    kText,        // outside tags; never empty
    kBlockBegin,  // {%
    kBlockEnd,
    kPrintBegin,  // {{
    kPrintEnd,
    kName,
    kString,  // escapes already undone
    kInteger,
    kFloat,
    kOperator,  // text is the operator
    kEnd,
};

struct Token {
    TokenKind kind;
    std::string text;
    uint32_t line;  // from 1
};

// The last token is kEnd.
Result<std::vector<Token>> tokenize(std::string_view source);

// An error at a line of the template.
Error error_at(uint32_t line, std::string what);

}  // namespace bitnetd::text::jinja
