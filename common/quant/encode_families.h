// One block or row of each type that encode.h writes. Internal to common/quant.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::quant {

// The factor that replaces a division by a block's scale: 0 for no scale, and for one so small that
// its inverse is infinite (it is stored as 0).
inline float inverse_or_zero(float scale) noexcept {
    const float inverse = 1.0f / scale;
    return scale > 0 && std::isfinite(inverse) ? inverse : 0.0f;
}

// encode_floats.cc. Finite values; each returns the index of the first element (Q8_0: of the first
// one's block) that is beyond the type's range, or -1.
ptrdiff_t encode_f16(std::span<const float> row, std::byte* out) noexcept;
ptrdiff_t encode_bf16(std::span<const float> row, std::byte* out) noexcept;
ptrdiff_t encode_q8_0(std::span<const float> row, std::byte* out) noexcept;

// encode_ternary.cc. Whole rows of valid digits.
void encode_i2_s(std::span<const int8_t> row, std::byte* out) noexcept;
// `scale`: half precision, of every block that has a digit other than 0.
void encode_tq(Type type, std::span<const int8_t> row, uint16_t scale, std::byte* out) noexcept;

}  // namespace bitnetd::quant
