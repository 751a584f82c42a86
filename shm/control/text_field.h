// Fixed-size text fields of control messages and boards: char name[N], ended by a NUL.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace bitnetd::shm {

// Up to the first NUL, or all N bytes where there is none: the sender may be hostile.
template <size_t N>
std::string_view field_text(const char (&field)[N]) noexcept {
    return {field, strnlen(field, N)};
}

// Truncates to N - 1 bytes and fills the rest with NULs: no stale bytes leave the process.
template <size_t N>
void set_field(char (&field)[N], std::string_view text) noexcept {
    const size_t length = std::min(text.size(), N - 1);
    std::memset(field, 0, N);
    std::memcpy(field, text.data(), length);
}

// What may be shown in a log or on a terminal: printable ASCII, anything else as '?'; no line ends
// behind it.
inline std::string printable(std::string_view text) {
    std::string shown(text);
    while (!shown.empty() && shown.back() == '\n')
        shown.pop_back();
    for (char& c : shown) {
        if (c < ' ' || c > '~') c = '?';
    }
    return shown;
}

}  // namespace bitnetd::shm
