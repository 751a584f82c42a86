// Character classes of HTTP/1.1 (RFC 9110, 9112) and URIs (RFC 3986) as constant tables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bitnetd::frontend::http {

using CharSet = std::array<bool, 256>;

constexpr CharSet char_set(std::string_view listed, bool alphanumeric) {
    CharSet set{};
    for (const char c : listed)
        set[static_cast<uint8_t>(c)] = true;
    for (int c = 0; alphanumeric && c < 128; ++c) {
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
            set[static_cast<size_t>(c)] = true;
        }
    }
    return set;
}

// Everything below blank but the tab, and DEL.
constexpr CharSet control_set() {
    CharSet set{};
    for (size_t c = 0; c < 32; ++c)
        set[c] = c != '\t';
    set[127] = true;
    return set;
}

inline constexpr CharSet kTokenChars = char_set("!#$%&'*+-.^_`|~", true);
inline constexpr CharSet kTargetChars = char_set("-._~!$&'()*+,;=:@/?%[]", true);
inline constexpr CharSet kHostChars = char_set("-._~!$&'()*+,;=:%[]", true);
inline constexpr CharSet kRequestIdChars = char_set("._-", true);
inline constexpr CharSet kControlChars = control_set();

constexpr bool contains(const CharSet& set, char c) {
    return set[static_cast<uint8_t>(c)];
}

constexpr bool all_in(const CharSet& set, std::string_view text) {
    for (const char c : text) {
        if (!contains(set, c)) return false;
    }
    return true;
}

// Where the first control character at or behind `from` is; text.size() when there is none.
constexpr size_t find_control(std::string_view text, size_t from) {
    while (from < text.size() && !contains(kControlChars, text[from]))
        ++from;
    return from;
}

constexpr char to_lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// `lower` is in lower case already.
constexpr bool equals_ignoring_case(std::string_view text, std::string_view lower) {
    if (text.size() != lower.size()) return false;
    for (size_t i = 0; i < text.size(); ++i) {
        if (to_lower(text[i]) != lower[i]) return false;
    }
    return true;
}

// Without leading and trailing blanks and tabs.
constexpr std::string_view trim(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// -1 when `c` is no hexadecimal digit.
constexpr int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace bitnetd::frontend::http
