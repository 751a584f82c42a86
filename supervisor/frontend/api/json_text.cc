#include "supervisor/frontend/api/json_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>

#include "common/text/utf8.h"

namespace bitnetd::frontend {
namespace {

// 0: as it is; 1: \u00XX; else the character behind the backslash.
constexpr std::array<char, 256> make_escapes() {
    std::array<char, 256> escapes{};
    for (size_t c = 0; c < 32; ++c)
        escapes[c] = 1;
    escapes['\b'] = 'b';
    escapes['\t'] = 't';
    escapes['\n'] = 'n';
    escapes['\f'] = 'f';
    escapes['\r'] = 'r';
    escapes['"'] = '"';
    escapes['\\'] = '\\';
    escapes[0x7F] = 1;
    return escapes;
}
constexpr std::array<char, 256> kEscapes = make_escapes();
constexpr std::string_view kHex = "0123456789abcdef";

}  // namespace

void append_json_escaped(std::string& out, std::string_view text) {
    size_t begin = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<uint8_t>(text[i]);
        const char escape = kEscapes[byte];
        if (escape == 0) continue;
        out.append(text, begin, i - begin);
        begin = i + 1;
        out += '\\';
        if (escape != 1) {
            out += escape;
        } else {
            out += "u00";
            out += kHex[byte >> 4];
            out += kHex[byte & 15];
        }
    }
    out.append(text, begin);
}

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    if (text::is_utf8(text)) {
        append_json_escaped(out, text);
    } else {
        append_json_escaped(out, text::replace_ill_formed(text));
    }
    out += '"';
}

void append_json_string_or_null(std::string& out, std::string_view text) {
    if (text.empty()) {
        out += "null";
    } else {
        append_json_string(out, text);
    }
}

void append_json_number(std::string& out, double number) {
    char digits[32];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

double json_logprob(float logprob) {
    return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0;
}

std::string utc_time(int64_t unix_s) {
    const time_t time = unix_s;
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

double milliseconds(uint64_t ns) {
    return static_cast<double>(ns / 1000) / 1000.0;
}

}  // namespace bitnetd::frontend
