// Taking small numbers out of the bytes of a block. Internal to common/quant.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "common/quant/half.h"

namespace bitnetd::quant {

inline unsigned byte_at(const std::byte* block, size_t at) noexcept {
    return std::to_integer<unsigned>(block[at]);
}

// The half-precision number `at` bytes into the block.
inline float half_at(const std::byte* block, size_t at) noexcept {
    return half_to_float(load<uint16_t>(block + at));
}

inline unsigned low_nibble(unsigned byte) noexcept {
    return byte & 15;
}
inline unsigned high_nibble(unsigned byte) noexcept {
    return byte >> 4;
}

// Bits 2 * field and 2 * field + 1.
inline unsigned two_bits(unsigned byte, size_t field) noexcept {
    return byte >> (2 * field) & 3;
}

// The number minus an offset, as a code.
inline int8_t centred(unsigned number, int offset) noexcept {
    return static_cast<int8_t>(static_cast<int>(number) - offset);
}

// Digit `index` of five base-3 digits in a byte, index 0 the most significant: the byte is a
// fraction of 256, multiplied out. 0, 1 or 2 whatever the byte.
inline unsigned base3_digit(unsigned byte, size_t index) noexcept {
    constexpr unsigned kPowers[] = {1, 3, 9, 27, 81};
    return (byte * kPowers[index] & 255) * 3 >> 8;
}

}  // namespace bitnetd::quant
