// Blocks of 256 elements in sub-blocks of 16 or 32, whose small scales share one half-precision
// scale d (and dmin for minima): Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. Element i lies in half i / 128,
// group (i mod 128) / 32 and lane i mod 32; a byte holds one lane of several groups.
#include "common/quant/block_bits.h"
#include "common/quant/block_families.h"

namespace bitnetd::quant {
namespace {

constexpr size_t kElements = 256;
constexpr size_t kLanes = 32;
constexpr size_t kGroups = 8;  // of 32 lanes: half * 4 + group within the half

// What is subtracted, stored as what is added.
uint16_t negated(uint16_t half) noexcept {
    return half ^ 0x8000;
}

// The pairs of 6-bit numbers of the eight sub-blocks in the 12 bytes of Q4_K and Q5_K: the first
// four whole, the last four with their upper two bits in the spare ones of the first.
void split_six_bit_pairs(const std::byte* s, const BlockParts& out) noexcept {
    for (size_t j = 0; j < 4; ++j) {
        const unsigned scale = byte_at(s, j);
        const unsigned minimum = byte_at(s, j + 4);
        const unsigned low = byte_at(s, j + 8);
        out.scales[j] = static_cast<int8_t>(scale & 63);
        out.minima[j] = static_cast<int8_t>(minimum & 63);
        out.scales[j + 4] = static_cast<int8_t>(low_nibble(low) | scale >> 6 << 4);
        out.minima[j + 4] = static_cast<int8_t>(high_nibble(low) | minimum >> 6 << 4);
    }
}

// The 6-bit scale of sub-block j (0..15) in the 12 bytes of Q3_K, stored 32 too large.
int8_t q3_scale(const std::byte* s, size_t j) noexcept {
    const unsigned low = j < 8 ? low_nibble(byte_at(s, j)) : high_nibble(byte_at(s, j - 8));
    return centred(low | two_bits(byte_at(s, 8 + j % 4), j / 4) << 4, 32);
}

unsigned nibble(unsigned byte, bool high) noexcept {
    return high ? high_nibble(byte) : low_nibble(byte);
}

}  // namespace

void split_q2_k(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block + 80);
    *out.m = negated(load<uint16_t>(block + 82));
    for (size_t j = 0; j < kElements / 16; ++j) {
        out.scales[j] = static_cast<int8_t>(low_nibble(byte_at(block, j)));
        out.minima[j] = static_cast<int8_t>(high_nibble(byte_at(block, j)));
    }
    for (size_t i = 0; i < kElements; ++i) {
        const unsigned byte = byte_at(block, 16 + i / 128 * kLanes + i % kLanes);
        out.codes[i] = static_cast<int8_t>(two_bits(byte, i % 128 / kLanes));
    }
}

void split_q3_k(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block + 108);
    for (size_t j = 0; j < kElements / 16; ++j)
        out.scales[j] = q3_scale(block + 96, j);
    for (size_t i = 0; i < kElements; ++i) {
        const unsigned byte = byte_at(block, kLanes + i / 128 * kLanes + i % kLanes);
        const unsigned low = two_bits(byte, i % 128 / kLanes);
        const bool above = (byte_at(block, i % kLanes) >> (i / kLanes) & 1) != 0;
        out.codes[i] = centred(low, above ? 0 : 4);
    }
}

void split_q4_k(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    *out.m = negated(load<uint16_t>(block + 2));
    split_six_bit_pairs(block + 4, out);
    for (size_t j = 0; j < kGroups; ++j) {
        for (size_t l = 0; l < kLanes; ++l) {
            const unsigned byte = byte_at(block, 16 + j / 2 * kLanes + l);
            out.codes[j * kLanes + l] = static_cast<int8_t>(nibble(byte, j % 2 != 0));
        }
    }
}

void split_q5_k(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block);
    *out.m = negated(load<uint16_t>(block + 2));
    split_six_bit_pairs(block + 4, out);
    for (size_t j = 0; j < kGroups; ++j) {
        for (size_t l = 0; l < kLanes; ++l) {
            const unsigned byte = byte_at(block, 48 + j / 2 * kLanes + l);
            const unsigned fifth = byte_at(block, 16 + l) >> j & 1;
            out.codes[j * kLanes + l] = static_cast<int8_t>(nibble(byte, j % 2 != 0) | fifth << 4);
        }
    }
}

void split_q6_k(const std::byte* block, const BlockParts& out) noexcept {
    *out.d = load<uint16_t>(block + 208);
    for (size_t j = 0; j < kElements / 16; ++j)
        out.scales[j] = load<int8_t>(block + 192 + j);
    for (size_t i = 0; i < kElements; ++i) {
        const size_t half = i / 128;
        const size_t group = i % 128 / kLanes;
        const size_t l = i % kLanes;
        const unsigned low = byte_at(block, 64 * half + kLanes * (group & 1) + l);
        const unsigned high = byte_at(block, 128 + kLanes * half + l);
        out.codes[i] = centred(nibble(low, group >= 2) | two_bits(high, group) << 4, 32);
    }
}

}  // namespace bitnetd::quant
