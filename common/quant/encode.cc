#include "common/quant/encode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/base/check.h"
#include "common/quant/encode_families.h"
#include "common/quant/float_rows.h"
#include "common/quant/half.h"
#include "common/quant/ternary_families.h"
#include "common/quant/tq_digits.h"

namespace bitnetd::quant {
namespace {

void check_sizes(Type type, size_t elements, size_t bytes) {
    const TypeInfo& info = info_of(type);
    const size_t block = type == Type::kI2_S ? 128 : info.block_elements;
    BITNETD_CHECK(elements % block == 0);
    BITNETD_CHECK(bytes == elements / info.block_elements * info.block_bytes);
}

Result<void> in_range(Type type, std::span<const float> row, ptrdiff_t bad) {
    if (bad < 0) return {};
    return invalid("element " + std::to_string(bad) + ", " + show(row[static_cast<size_t>(bad)]) +
                   (info_of(type).block_elements > 1 ? ", or one of its block," : ",") +
                   " is beyond the range of " + std::string(name_of(type)));
}

bool is_tq(Type type) {
    return type == Type::kTQ1_0 || type == Type::kTQ2_0;
}

// Each block by its own largest magnitude.
Result<void> encode_tq_floats(Type type, std::span<const float> row, std::byte* out) {
    std::array<int8_t, kTqElements> digits;
    for (size_t first = 0; first < row.size(); first += kTqElements) {
        const auto block = row.subspan(first, kTqElements);
        float largest = 0;
        for (const float x : block)
            largest = std::max(largest, std::fabs(x));
        const uint16_t half = float_to_half(largest);
        if (!std::isfinite(half_to_float(half))) {
            return in_range(type, row, static_cast<ptrdiff_t>(first));
        }
        const float inverse = inverse_or_zero(largest);
        for (size_t i = 0; i < kTqElements; ++i)
            digits[i] = static_cast<int8_t>(std::round(block[i] * inverse));
        encode_tq(type, digits, half, out);
        out += info_of(type).block_bytes;
    }
    return {};
}

// What a type makes of the scale of a ternary row.
float stored_scale(Type type, float scale) {
    if (type == Type::kBF16) return bf16_to_float(float_to_bf16(scale));
    if (type == Type::kF16 || is_tq(type)) return half_to_float(float_to_half(scale));
    if (type == Type::kQ8_0) return 127.0f * half_to_float(float_to_half(scale / 127.0f));
    return scale;
}

Result<void> check_scale(Type type, float scale) {
    if (!std::isfinite(scale) || scale < 0) {
        return invalid("the scale is " + show(scale) + "; it must be finite and not negative");
    }
    const float kept = stored_scale(type, scale);
    if (std::isfinite(kept) && (kept > 0 || scale == 0)) return {};
    return invalid("the scale " + show(scale) + " is beyond the range of " +
                   std::string(name_of(type)));
}

}  // namespace

bool can_encode_floats(Type type) {
    return type == Type::kF32 || type == Type::kF16 || type == Type::kBF16 || type == Type::kQ8_0 ||
           is_tq(type);
}

bool can_encode_digits(Type type) {
    return type == Type::kI2_S || can_encode_floats(type);
}

Result<void> encode_floats(Type type, std::span<const float> row, std::span<std::byte> out) {
    BITNETD_CHECK(can_encode_floats(type));
    check_sizes(type, row.size(), out.size());
    if (const auto bad = first_not_finite(row)) {
        return invalid("element " + std::to_string(*bad) + " is " + show(row[*bad]));
    }
    switch (type) {
        case Type::kF16:
            return in_range(type, row, encode_f16(row, out.data()));
        case Type::kBF16:
            return in_range(type, row, encode_bf16(row, out.data()));
        case Type::kQ8_0:
            return in_range(type, row, encode_q8_0(row, out.data()));
        case Type::kF32:
            if (!row.empty()) std::memcpy(out.data(), row.data(), row.size_bytes());
            return {};
        default:
            return encode_tq_floats(type, row, out.data());
    }
}

Result<void> encode_digits(Type type, std::span<const int8_t> row, float scale,
                           std::span<std::byte> out) {
    BITNETD_CHECK(can_encode_digits(type));
    check_sizes(type, row.size(), out.size());
    BITNETD_CHECK(std::all_of(row.begin(), row.end(), [](int8_t d) { return d >= -1 && d <= 1; }));
    BITNETD_TRY(check_scale(type, scale));
    if (type == Type::kI2_S) {
        encode_i2_s(row, out.data());
        return {};
    }
    if (is_tq(type)) {
        encode_tq(type, row, float_to_half(scale), out.data());
        return {};
    }
    std::vector<float> values(row.size());
    for (size_t i = 0; i < row.size(); ++i)
        values[i] = static_cast<float>(row[i]) * scale;
    return encode_floats(type, values, out);
}

std::array<std::byte, 32> i2_s_tail(float scale) {
    std::array<std::byte, 32> tail{};
    std::memcpy(tail.data(), &scale, sizeof scale);
    return tail;
}

bool scale_is_exact(Type type, float scale) {
    BITNETD_CHECK(can_encode_digits(type));
    return stored_scale(type, scale) == scale;
}

}  // namespace bitnetd::quant
