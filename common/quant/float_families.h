// The decoders of float_rows.h, one function per type, one source per family. Internal to
// common/quant. Each has the shape of FloatDecoder.
#pragma once

#include <cstddef>

namespace bitnetd::quant {

// plain_floats.cc
void decode_f32(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_f16(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_bf16(const std::byte* blocks, size_t count, float* out) noexcept;

// short_blocks.cc: 32 elements, one scale
void decode_q8_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q4_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q4_1(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q5_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q5_1(const std::byte* blocks, size_t count, float* out) noexcept;

// k_blocks.cc: 256 elements, scales of sub-blocks
void decode_q2_k(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q3_k(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q4_k(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q5_k(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q6_k(const std::byte* blocks, size_t count, float* out) noexcept;

// low_bit_blocks.cc: digits times one scale
void decode_q1_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_q2_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_tq1_0(const std::byte* blocks, size_t count, float* out) noexcept;
void decode_tq2_0(const std::byte* blocks, size_t count, float* out) noexcept;

}  // namespace bitnetd::quant
