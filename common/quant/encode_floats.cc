// F16, BF16 and Q8_0 from floats.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/quant/encode_families.h"
#include "common/quant/half.h"

namespace bitnetd::quant {
namespace {

void store(std::byte* out, uint16_t value) noexcept {
    std::memcpy(out, &value, sizeof value);
}

}  // namespace

ptrdiff_t encode_f16(std::span<const float> row, std::byte* out) noexcept {
    for (size_t i = 0; i < row.size(); ++i) {
        const uint16_t half = float_to_half(row[i]);
        if (!std::isfinite(half_to_float(half))) return static_cast<ptrdiff_t>(i);
        store(out + 2 * i, half);
    }
    return -1;
}

ptrdiff_t encode_bf16(std::span<const float> row, std::byte* out) noexcept {
    for (size_t i = 0; i < row.size(); ++i) {
        const uint16_t bf16 = float_to_bf16(row[i]);
        if (!std::isfinite(bf16_to_float(bf16))) return static_cast<ptrdiff_t>(i);
        store(out + 2 * i, bf16);
    }
    return -1;
}

// The values are divided by the scale before it is rounded to half precision.
ptrdiff_t encode_q8_0(std::span<const float> row, std::byte* out) noexcept {
    constexpr size_t kElements = 32;
    for (size_t first = 0; first < row.size(); first += kElements, out += 2 + kElements) {
        const auto block = row.subspan(first, kElements);
        float largest = 0;
        for (const float x : block)
            largest = std::max(largest, std::fabs(x));
        const float d = largest / 127.0f;
        const uint16_t half = float_to_half(d);
        if (!std::isfinite(half_to_float(half))) return static_cast<ptrdiff_t>(first);
        const float inverse = inverse_or_zero(d);
        store(out, half);
        for (size_t i = 0; i < kElements; ++i) {
            const auto q = static_cast<int8_t>(std::round(block[i] * inverse));
            out[2 + i] = static_cast<std::byte>(q);
        }
    }
    return -1;
}

}  // namespace bitnetd::quant
