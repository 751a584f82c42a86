// Blocks of 32 elements with one half-precision scale d, some with a minimum m: Q8_0, Q4_0, Q4_1,
// Q5_0, Q5_1. Element i < 16 is the low nibble of byte i, element 16 + i the high one.
#include <cstring>

#include "common/quant/block_bits.h"
#include "common/quant/block_families.h"

namespace bitnetd::quant {
namespace {

constexpr size_t kPairs = 16;

// The nibbles at `bytes`, each less `offset`.
void split_nibbles(const std::byte* bytes, int offset, int8_t* codes) noexcept {
    for (size_t i = 0; i < kPairs; ++i) {
        codes[i] = centred(low_nibble(byte_at(bytes, i)), offset);
        codes[kPairs + i] = centred(high_nibble(byte_at(bytes, i)), offset);
    }
}

// The same with the fifth bit of element i at bit i of `fifth`.
void split_five_bits(const std::byte* bytes, uint32_t fifth, int offset, int8_t* codes) noexcept {
    for (size_t i = 0; i < kPairs; ++i) {
        const unsigned low = fifth >> i & 1;
        const unsigned high = fifth >> (kPairs + i) & 1;
        codes[i] = centred(low_nibble(byte_at(bytes, i)) | low << 4, offset);
        codes[kPairs + i] = centred(high_nibble(byte_at(bytes, i)) | high << 4, offset);
    }
}

}  // namespace

void split_q8_0(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    std::memcpy(out.codes, block + 2, 2 * kPairs);
}

void split_q4_0(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    split_nibbles(block + 2, 8, out.codes);
}

void split_q4_1(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    *out.m = load<uint16_t>(block + 2);
    split_nibbles(block + 4, 0, out.codes);
}

void split_q5_0(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    split_five_bits(block + 6, load<uint32_t>(block + 2), 16, out.codes);
}

void split_q5_1(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    *out.m = load<uint16_t>(block + 2);
    split_five_bits(block + 8, load<uint32_t>(block + 4), 0, out.codes);
}

}  // namespace bitnetd::quant
