// The digits in a block of 256 of TQ1_0 and TQ2_0; its last two bytes are its scale. Internal to
// common/quant.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/quant/block_bits.h"

namespace bitnetd::quant {

inline constexpr size_t kTqElements = 256;
inline constexpr size_t kTq1Bytes = 54;
inline constexpr size_t kTq2Bytes = 66;

// Byte 32h + l holds elements 128h + 32g + l, g = 0..3, group g in bits 2g and up. Code 3 becomes
// digit 2.
inline void tq2_0_digits(const std::byte* block, int8_t* digits) noexcept {
    for (size_t i = 0; i < kTqElements; ++i) {
        const unsigned byte = byte_at(block, i / 128 * 32 + i % 32);
        digits[i] = static_cast<int8_t>(static_cast<int>(two_bits(byte, i % 128 / 32)) - 1);
    }
}

// Three stretches of bytes with five, five and four base-3 digits each: elements run over the bytes
// of a stretch first, then over the digits.
struct Tq1Stretch {
    size_t first_byte;
    size_t bytes;
    size_t first_element;
    size_t digits;
};
inline constexpr Tq1Stretch kTq1Stretches[] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};

inline void tq1_0_digits(const std::byte* block, int8_t* digits) noexcept {
    for (const Tq1Stretch& s : kTq1Stretches) {
        for (size_t n = 0; n < s.digits; ++n) {
            for (size_t l = 0; l < s.bytes; ++l) {
                const unsigned digit = base3_digit(byte_at(block, s.first_byte + l), n);
                digits[s.first_element + n * s.bytes + l] =
                    static_cast<int8_t>(static_cast<int>(digit) - 1);
            }
        }
    }
}

}  // namespace bitnetd::quant
