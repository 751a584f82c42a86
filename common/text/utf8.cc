#include "common/text/utf8.h"

#include "common/base/bytes.h"

namespace bitnetd::text {

namespace {

bool is_continuation(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

// What a lead byte promises, and which second bytes it allows.
struct Lead {
    uint32_t bytes = 0;  // 0: not a lead byte
    uint32_t bits = 0;
    unsigned char second_min = 0x80;
    unsigned char second_max = 0xBF;
};

Lead lead_of(unsigned char byte) {
    if (byte < 0x80) return {1, byte};
    if (byte < 0xC2) return {};
    if (byte < 0xE0) return {2, byte & 0x1Fu};
    if (byte < 0xF0) {
        const unsigned char min = byte == 0xE0 ? 0xA0 : 0x80;  // below: overlong
        const unsigned char max = byte == 0xED ? 0x9F : 0xBF;  // above: surrogates
        return {3, byte & 0x0Fu, min, max};
    }
    if (byte < 0xF5) {
        const unsigned char min = byte == 0xF0 ? 0x90 : 0x80;
        const unsigned char max = byte == 0xF4 ? 0x8F : 0xBF;  // above: beyond U+10FFFF
        return {4, byte & 0x07u, min, max};
    }
    return {};
}

// How many bytes at `at` agree with the lead byte there, 0 .. lead.bytes.
uint32_t agreeing_bytes(std::string_view text, size_t at, const Lead& lead) {
    uint32_t count = lead.bytes == 0 ? 0 : 1;
    while (count < lead.bytes && at + count < text.size()) {
        const auto byte = static_cast<unsigned char>(text[at + count]);
        const bool fits =
            count == 1 ? byte >= lead.second_min && byte <= lead.second_max : is_continuation(byte);
        if (!fits) break;
        ++count;
    }
    return count;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t at) noexcept {
    const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
    if (lead.bytes == 1) return {lead.bits, 1};
    if (lead.bytes == 0 || agreeing_bytes(text, at, lead) != lead.bytes) return {};
    uint32_t value = lead.bits;
    for (uint32_t i = 1; i < lead.bytes; ++i) {
        value = value << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
    }
    return {value, lead.bytes};
}

size_t ill_formed_bytes(std::string_view text, size_t at) noexcept {
    const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
    const uint32_t agreeing = agreeing_bytes(text, at, lead);
    return agreeing == 0 ? 1 : agreeing;
}

bool ends_inside_character(std::string_view text, size_t& complete) noexcept {
    for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
        const size_t at = text.size() - back;
        if (is_continuation(static_cast<unsigned char>(text[at]))) continue;
        const Lead lead = lead_of(static_cast<unsigned char>(text[at]));
        if (lead.bytes <= back || agreeing_bytes(text, at, lead) != back) return false;
        complete = at;
        return true;
    }
    return false;
}

void append_utf8(std::string& out, uint32_t code_point) {
    if (code_point < 0x80) {
        out += static_cast<char>(code_point);
    } else if (code_point < 0x800) {
        out += static_cast<char>(0xC0 | code_point >> 6);
        out += static_cast<char>(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        out += static_cast<char>(0xE0 | code_point >> 12);
        out += static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (code_point & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | code_point >> 18);
        out += static_cast<char>(0x80 | (code_point >> 12 & 0x3F));
        out += static_cast<char>(0x80 | (code_point >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (code_point & 0x3F));
    }
}

bool is_utf8(std::string_view text) noexcept {
    constexpr uint64_t kNotAscii = 0x8080808080808080;
    for (size_t at = 0; at < text.size();) {
        while (text.size() - at >= 8 && (load<uint64_t>(text.data() + at) & kNotAscii) == 0)
            at += 8;
        if (at == text.size()) break;
        const uint32_t bytes = decode_utf8(text, at).bytes;
        if (bytes == 0) return false;
        at += bytes;
    }
    return true;
}

std::string replace_ill_formed(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const uint32_t bytes = decode_utf8(text, at).bytes;
        if (bytes == 0) {
            out += kReplacement;
            ++at;
        } else {
            out.append(text, at, bytes);
            at += bytes;
        }
    }
    return out;
}

bool is_space(uint32_t c) noexcept {
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

}  // namespace bitnetd::text
