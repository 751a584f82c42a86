// Blocks of 256 elements in sub-blocks of 16 or 32, whose small scales share one half-precision
// scale d (and dmin for minima): Q2_K, Q3_K, Q4_K, Q5_K, Q6_K. Element i lies in half i / 128,
// group (i mod 128) / 32 and lane i mod 32; a byte holds one lane of several groups.
#include "common/quant/block_bits.h"
#include "common/quant/float_families.h"

namespace bitnetd::quant {
namespace {

constexpr size_t kElements = 256;
constexpr size_t kLanes = 32;
constexpr size_t kGroups = 8;  // of 32 lanes: half * 4 + group within the half

struct ScaleAndMinimum {
    float scale;
    float minimum;
};

// The pair of 6-bit numbers of sub-block j (0..7) in the 12 bytes of Q4_K and Q5_K: the first four
// whole, the last four with their upper two bits in the spare ones of the first.
ScaleAndMinimum six_bit_pair(const std::byte* s, size_t j) noexcept {
    unsigned scale = 0;
    unsigned minimum = 0;
    if (j < 4) {
        scale = byte_at(s, j) & 63;
        minimum = byte_at(s, j + 4) & 63;
    } else {
        const unsigned low = byte_at(s, j + 4);
        scale = low_nibble(low) | byte_at(s, j - 4) >> 6 << 4;
        minimum = high_nibble(low) | byte_at(s, j) >> 6 << 4;
    }
    return {static_cast<float>(scale), static_cast<float>(minimum)};
}

// The 6-bit scale of sub-block j (0..15) in the 12 bytes of Q3_K, 32 too large.
float q3_scale(const std::byte* s, size_t j) noexcept {
    const unsigned low = j < 8 ? low_nibble(byte_at(s, j)) : high_nibble(byte_at(s, j - 8));
    return centred(low | two_bits(byte_at(s, 8 + j % 4), j / 4) << 4, 32);
}

unsigned nibble(unsigned byte, bool high) noexcept {
    return high ? high_nibble(byte) : low_nibble(byte);
}

}  // namespace

void decode_q2_k(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 84, out += kElements) {
        const float d = half_at(blocks, 80);
        const float dmin = half_at(blocks, 82);
        for (size_t i = 0; i < kElements; ++i) {
            const unsigned pair = byte_at(blocks, i / 16);
            const unsigned byte = byte_at(blocks, 16 + i / 128 * kLanes + i % kLanes);
            const auto q = static_cast<float>(two_bits(byte, i % 128 / kLanes));
            out[i] = d * static_cast<float>(low_nibble(pair)) * q -
                     dmin * static_cast<float>(high_nibble(pair));
        }
    }
}

void decode_q3_k(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 110, out += kElements) {
        const float d = half_at(blocks, 108);
        for (size_t i = 0; i < kElements; ++i) {
            const unsigned byte = byte_at(blocks, kLanes + i / 128 * kLanes + i % kLanes);
            const unsigned low = two_bits(byte, i % 128 / kLanes);
            const bool above = (byte_at(blocks, i % kLanes) >> (i / kLanes) & 1) != 0;
            out[i] = d * q3_scale(blocks + 96, i / 16) * centred(low, above ? 0 : 4);
        }
    }
}

void decode_q4_k(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 144, out += kElements) {
        const float d = half_at(blocks, 0);
        const float dmin = half_at(blocks, 2);
        for (size_t j = 0; j < kGroups; ++j) {
            const auto [scale, minimum] = six_bit_pair(blocks + 4, j);
            for (size_t l = 0; l < kLanes; ++l) {
                const unsigned byte = byte_at(blocks, 16 + j / 2 * kLanes + l);
                const auto q = static_cast<float>(nibble(byte, j % 2 != 0));
                out[j * kLanes + l] = d * scale * q - dmin * minimum;
            }
        }
    }
}

void decode_q5_k(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 176, out += kElements) {
        const float d = half_at(blocks, 0);
        const float dmin = half_at(blocks, 2);
        for (size_t j = 0; j < kGroups; ++j) {
            const auto [scale, minimum] = six_bit_pair(blocks + 4, j);
            for (size_t l = 0; l < kLanes; ++l) {
                const unsigned byte = byte_at(blocks, 48 + j / 2 * kLanes + l);
                const unsigned fifth = byte_at(blocks, 16 + l) >> j & 1;
                const auto q = static_cast<float>(nibble(byte, j % 2 != 0) | fifth << 4);
                out[j * kLanes + l] = d * scale * q - dmin * minimum;
            }
        }
    }
}

void decode_q6_k(const std::byte* blocks, size_t count, float* out) noexcept {
    for (size_t b = 0; b < count; ++b, blocks += 210, out += kElements) {
        const float d = half_at(blocks, 208);
        for (size_t i = 0; i < kElements; ++i) {
            const size_t half = i / 128;
            const size_t group = i % 128 / kLanes;
            const size_t l = i % kLanes;
            const unsigned low = byte_at(blocks, 64 * half + kLanes * (group & 1) + l);
            const unsigned high = byte_at(blocks, 128 + kLanes * half + l);
            const unsigned q = nibble(low, group >= 2) | two_bits(high, group) << 4;
            const auto scale = static_cast<float>(load<int8_t>(blocks + 192 + i / 16));
            out[i] = d * scale * centred(q, 32);
        }
    }
}

}  // namespace bitnetd::quant
