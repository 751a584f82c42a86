// The decoders of float_rows.h for types that block_families.h does not take apart. Internal to
// common/quant. Each has the shape of FloatDecoder.
#pragma once

#include <cstddef>

namespace bitnetd::quant {

// plain_floats.cc
void decode_f32(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_f16(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_bf16(const std::byte* blocks, size_t count, float* out) noexcept;

// low_bit_blocks.cc: ternary digits times one scale
void decode_tq1_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_tq2_0(const std::byte* blocks, size_t count, float* out) noexcept;

}  // namespace bitnetd::quant
