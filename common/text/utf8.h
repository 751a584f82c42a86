// UTF-8 of untrusted bytes: strict decoding, repair, and the white-space class that pre-tokenizers
// and templates agree on. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitnetd::text {

struct CodePoint {
    uint32_t value = 0;
    uint32_t bytes = 0;  // 0 when what stands there is not well-formed
};

// The character at `at` (at < text.size()). Overlong forms, surrogates and values above U+10FFFF
// are not well-formed.
CodePoint decode_utf8(std::string_view text, size_t at) noexcept;

// Bytes of the maximal ill-formed subsequence at `at`, where decode_utf8 gave 0: what one U+FFFD
// stands for (Unicode, "substitution of maximal subparts"). At least 1.
size_t ill_formed_bytes(std::string_view text, size_t at) noexcept;

// True when `text`, which is the start of a longer text, ends inside a character that later bytes
// can still complete; `complete` is then the length of what stands before that character.
bool ends_inside_character(std::string_view text, size_t& complete) noexcept;

void append_utf8(std::string& out, uint32_t code_point);
bool is_utf8(std::string_view text) noexcept;

// Every byte that belongs to no well-formed sequence becomes one U+FFFD (tokenizers.md section 9).
std::string replace_ill_formed(std::string_view text);

// Unicode White_Space.
bool is_space(uint32_t code_point) noexcept;

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace bitnetd::text
