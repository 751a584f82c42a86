// Rows of any type that stands for floats, as floats: bit for bit what the format defines, in its
// order of operations. Infinities and NaN come through as stored: who needs finite values asks
// first_not_finite(). Types whose scale lies outside their rows (I2_S, TL1, TL2, IQ*_BN, PackedU8)
// are read by ternary_matrix.h only.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "common/quant/quant_types.h"

namespace bitnetd::quant {

// Decodes `count` whole blocks, unaligned, into count * block_elements floats.
using FloatDecoder = void (*)(const std::byte* blocks, size_t count, float* out) noexcept;

// Null for a type that is not decoded to floats.
FloatDecoder float_decoder(Type type) noexcept;

// One row or several: `row` holds exactly out.size() elements of `type`, which has a decoder.
void decode_floats(Type type, std::span<const std::byte> row, std::span<float> out);

// Index of the first infinity or NaN.
std::optional<size_t> first_not_finite(std::span<const float> values);

}  // namespace bitnetd::quant
