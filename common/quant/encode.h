// Numbers into the bytes of a tensor type, as the types' own quantisers make them; for converters.
// Rows are written whole: `out` has exactly the bytes of the row, and the row fits the type's
// blocks. The caller is trusted with sizes (BITNETD_CHECK), not with values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/quant/quant_types.h"

namespace bitnetd::quant {

// Types that encode_floats() and encode_digits() write.
bool can_encode_floats(Type type);  // F32 F16 BF16 Q8_0 TQ1_0 TQ2_0
bool can_encode_digits(Type type);  // those and I2_S (128/32)

// Rounds as the type does: F16, BF16 to nearest even; Q8_0 to 1/127 of the block's largest
// magnitude; TQ1_0 and TQ2_0 to the block's largest magnitude or zero. The error names an element
// that is not finite or beyond the type's range.
Result<void> encode_floats(Type type, std::span<const float> row, std::span<std::byte> out);

// A ternary row: weight = scale * digit, digits -1, 0, 1. I2_S keeps the scale exactly (in
// i2_s_tail()), F32 too; the others round it, see scale_is_exact(). Blocks of zeros get the scale 0
// in TQ1_0 and TQ2_0. An error when the scale is negative, not finite or beyond the type's range.
Result<void> encode_digits(Type type, std::span<const int8_t> row, float scale,
                           std::span<std::byte> out);

// What stands behind the last row of I2_S: the scale, then zeros.
std::array<std::byte, 32> i2_s_tail(float scale);

// True when scale * digit comes back from `type` without any rounding.
bool scale_is_exact(Type type, float scale);

}  // namespace bitnetd::quant
