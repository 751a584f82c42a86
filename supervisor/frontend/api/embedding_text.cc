#include "supervisor/frontend/api/embedding_text.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string_view>

namespace bitnetd::frontend {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

bool shape_embedding(std::vector<float>& values, uint32_t dimensions) {
    const auto is_finite = [](float value) { return std::isfinite(value); };
    if (!std::all_of(values.begin(), values.end(), is_finite)) return false;
    values.resize(std::min<size_t>(values.size(), dimensions));
    double squares = 0;  // of at most 65536 floats: no overflow
    for (const float value : values)
        squares += static_cast<double>(value) * static_cast<double>(value);
    if (squares == 0) return true;
    const double length = std::sqrt(squares);
    for (float& value : values)
        value = static_cast<float>(static_cast<double>(value) / length);
    return true;
}

void append_float_array(std::string& out, std::span<const float> values) {
    char digits[32];
    out += '[';
    for (size_t i = 0; i < values.size(); ++i) {
        if (i > 0) out += ',';
        out.append(digits, std::to_chars(digits, digits + sizeof digits, values[i]).ptr);
    }
    out += ']';
}

void append_base64(std::string& out, std::span<const float> values) {
    static_assert(std::endian::native == std::endian::little);
    const auto bytes = std::as_bytes(values);
    out += '"';
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const size_t count = std::min<size_t>(3, bytes.size() - i);
        uint32_t bits = 0;  // three bytes, the first one highest
        for (size_t j = 0; j < 3; ++j)
            bits = bits << 8 | (j < count ? static_cast<uint32_t>(bytes[i + j]) : 0);
        for (size_t j = 0; j < 4; ++j)
            out += j <= count ? kBase64[bits >> (18 - 6 * j) & 63] : '=';
    }
    out += '"';
}

}  // namespace bitnetd::frontend
