// Digits of one or two bits times one half-precision scale: Q1_0, Q2_0, TQ1_0, TQ2_0 as floats.
// Code 3 of a two-bit type is +2 here, as the formats' own dequantisers have it; ternary_matrix.h
// refuses it.
#include "common/quant/block_bits.h"
#include "common/quant/block_families.h"
#include "common/quant/float_families.h"
#include "common/quant/tq_digits.h"

namespace bitnetd::quant {
namespace {

using DigitsOfBlock = void (*)(const std::byte* block, int8_t* digits) noexcept;

template <DigitsOfBlock digits_of>
void decode_tq(const std::byte* blocks, size_t count, size_t block_bytes, float* out) noexcept {
    int8_t digits[kTqElements];
    for (size_t b = 0; b < count; ++b, blocks += block_bytes, out += kTqElements) {
        const float d = half_at(blocks, block_bytes - 2);
        digits_of(blocks, digits);
        for (size_t i = 0; i < kTqElements; ++i)
            out[i] = static_cast<float>(digits[i]) * d;
    }
}

}  // namespace

void split_q1_0(const std::byte* block, const BlockParts& out) noexcept {
    constexpr size_t kElements = 128;
    for (size_t unit = 0; unit < kElements / 32; ++unit)
        out.d[unit] = load<uint16_t>(block);
    for (size_t i = 0; i < kElements; ++i)
        out.codes[i] = (byte_at(block, 2 + i / 8) >> (i % 8) & 1) != 0 ? 1 : -1;
}

void split_q2_0(const std::byte* block, const BlockParts& out) noexcept {
    constexpr size_t kElements = 64;
    for (size_t unit = 0; unit < kElements / 32; ++unit)
        out.d[unit] = load<uint16_t>(block);
    for (size_t i = 0; i < kElements; ++i) {
        out.codes[i] = centred(two_bits(byte_at(block, 2 + i / 4), i % 4), 1);
    }
}

void decode_tq1_0(const std::byte* blocks, size_t count, float* out) noexcept {
    decode_tq<tq1_0_digits>(blocks, count, kTq1Bytes, out);
}

void decode_tq2_0(const std::byte* blocks, size_t count, float* out) noexcept {
    decode_tq<tq2_0_digits>(blocks, count, kTq2Bytes, out);
}

}  // namespace bitnetd::quant
