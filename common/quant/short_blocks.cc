// Blocks of 32 elements with one half-precision scale d, some with a minimum m: Q8_0, Q4_0, Q4_1,
// Q5_0, Q5_1. Element i < 16 is the low nibble of byte i, element 16 + i the high one.
#include "common/quant/block_bits.h"
#include "common/quant/float_families.h"

namespace bitnetd::quant {
namespace {

constexpr size_t kElements = 32;
constexpr size_t kPairs = 16;

// The fifth bits of all elements, element i at bit i.
unsigned with_fifth_bit(unsigned nibble, uint32_t fifth, size_t i) noexcept {
    return nibble | (fifth >> i & 1) << 4;
}

}  // namespace

void decode_q8_0(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 34, out += kElements) {
        const float d = half_at(blocks, 0);
        for (size_t i = 0; i < kElements; ++i)
            out[i] = static_cast<float>(load<int8_t>(blocks + 2 + i)) * d;
    }
}

void decode_q4_0(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 18, out += kElements) {
        const float d = half_at(blocks, 0);
        for (size_t i = 0; i < kPairs; ++i) {
            const unsigned byte = byte_at(blocks, 2 + i);
            out[i] = centred(low_nibble(byte), 8) * d;
            out[kPairs + i] = centred(high_nibble(byte), 8) * d;
        }
    }
}

void decode_q4_1(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 20, out += kElements) {
        const float d = half_at(blocks, 0);
        const float m = half_at(blocks, 2);
        for (size_t i = 0; i < kPairs; ++i) {
            const unsigned byte = byte_at(blocks, 4 + i);
            out[i] = static_cast<float>(low_nibble(byte)) * d + m;
            out[kPairs + i] = static_cast<float>(high_nibble(byte)) * d + m;
        }
    }
}

void decode_q5_0(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 22, out += kElements) {
        const float d = half_at(blocks, 0);
        const auto fifth = load<uint32_t>(blocks + 2);
        for (size_t i = 0; i < kPairs; ++i) {
            const unsigned byte = byte_at(blocks, 6 + i);
            out[i] = centred(with_fifth_bit(low_nibble(byte), fifth, i), 16) * d;
            out[kPairs + i] = centred(with_fifth_bit(high_nibble(byte), fifth, kPairs + i), 16) * d;
        }
    }
}

void decode_q5_1(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 24, out += kElements) {
        const float d = half_at(blocks, 0);
        const float m = half_at(blocks, 2);
        const auto fifth = load<uint32_t>(blocks + 4);
        for (size_t i = 0; i < kPairs; ++i) {
            const unsigned byte = byte_at(blocks, 8 + i);
            out[i] = static_cast<float>(with_fifth_bit(low_nibble(byte), fifth, i)) * d + m;
            out[kPairs + i] =
                static_cast<float>(with_fifth_bit(high_nibble(byte), fifth, kPairs + i)) * d + m;
        }
    }
}

}  // namespace bitnetd::quant
