#include "common/text/normalise.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "common/base/check.h"
#include "common/text/utf8.h"

namespace bitnetd::text {

namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

// Characters below U+0300 neither combine with what stands before them nor change by themselves.
// Their first byte is below 0xCC.
bool is_plain_start(char byte) {
    const auto b = static_cast<unsigned char>(byte);
    return b < 0x80 || (b >= 0xC0 && b < 0xCC);
}
bool starts_other(char byte) {
    return static_cast<unsigned char>(byte) >= 0xCC;
}

size_t find_if_from(std::string_view text, size_t at, bool (*wanted)(char)) {
    const auto* found = std::find_if(text.begin() + at, text.end(), wanted);
    return static_cast<size_t>(found - text.begin());
}

size_t previous_character(std::string_view text, size_t at) {
    do {
        --at;
    } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    return at;
}

int combining_class(utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
}

constexpr utf8proc_int32_t kReplacementCharacter = 0xFFFD;

// Canonical decomposition, in canonical order.
void decompose(std::string_view text, CodePoints& out) {
    constexpr utf8proc_ssize_t kPartsMax = 8;  // Unicode's longest canonical decomposition has 4
    utf8proc_int32_t parts[kPartsMax];
    int boundary = 0;
    for (size_t at = 0; at < text.size();) {
        const CodePoint c = decode_utf8(text, at);
        if (c.bytes == 0) {
            out.push_back(kReplacementCharacter);
            ++at;
            continue;
        }
        at += c.bytes;
        const auto count = utf8proc_decompose_char(
            static_cast<utf8proc_int32_t>(c.value), parts, kPartsMax,
            static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
        BITNETD_CHECK(count >= 0);
        BITNETD_CHECK(count <= kPartsMax);
        out.insert(out.end(), parts, parts + count);
    }
    const auto is_starter = [](utf8proc_int32_t c) { return combining_class(c) == 0; };
    for (auto begin = out.begin(); begin != out.end();) {
        begin = std::find_if_not(begin, out.end(), is_starter);
        const auto end = std::find_if(begin, out.end(), is_starter);
        std::stable_sort(begin, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
            return combining_class(a) < combining_class(b);
        });
        begin = end;
    }
}

}  // namespace

bool is_surely_nfc(std::string_view text) noexcept {
    return find_if_from(text, 0, starts_other) == text.size();
}

std::string to_nfc(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    CodePoints points;
    size_t done = 0;
    while (true) {
        const size_t other = find_if_from(text, done, starts_other);
        if (other == text.size()) break;
        // The plain character in front may be the base of what follows.
        const size_t begin = other == done ? done : previous_character(text, other);
        const size_t end = find_if_from(text, other, is_plain_start);
        out.append(text, done, begin - done);
        points.clear();
        decompose(text.substr(begin, end - begin), points);
        const auto count = utf8proc_normalize_utf32(
            points.data(), static_cast<utf8proc_ssize_t>(points.size()),
            static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
        BITNETD_CHECK(count >= 0);
        for (utf8proc_ssize_t i = 0; i < count; ++i)
            append_utf8(out, static_cast<uint32_t>(points[static_cast<size_t>(i)]));
        done = end;
    }
    out.append(text, done);
    return out;
}

}  // namespace bitnetd::text
