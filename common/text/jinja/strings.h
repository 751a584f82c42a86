// String helpers with Python's meaning, by character (code point). Ill-formed bytes count as one
// character each, so nothing here can fail. Case changes ASCII letters only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/marked_text.h"

namespace bitnetd::text::jinja {

size_t next_character(std::string_view text, size_t at);
size_t count_characters(std::string_view text);
// Byte offset of the character with that index; text.size() beyond the end.
size_t character_offset(std::string_view text, size_t index);

// Where `wanted` stands in `text`, at `from` or later; npos when nowhere. Linear in both, which
// std::string::find is not. from <= text.size().
size_t find_text(std::string_view text, std::string_view wanted, size_t from);

// `digits` lower-case hexadecimal digits.
std::string hex(uint32_t value, int digits);

struct StripSides {
    bool left = true;
    bool right = true;
};
// Removes characters of `chars` (white space when null) from the ends.
MarkedText strip(const MarkedText& text, const std::string_view* chars, StripSides sides);

// At every `separator` (not empty), at most `splits_max` times.
std::vector<MarkedText> split(const MarkedText& text, std::string_view separator,
                              size_t splits_max);
// At runs of white space; no empty parts. `splits_max` as above.
std::vector<MarkedText> split_words(const MarkedText& text, size_t splits_max);

// Every `from` (not empty) becomes `to`, at most `count_max` times.
MarkedText replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   size_t count_max);

enum class Case : uint8_t { kUpper, kLower, kCapitalize, kTitle };
MarkedText change_case(const MarkedText& text, Case to);

}  // namespace bitnetd::text::jinja
