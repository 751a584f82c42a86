// The two 16-bit floats, in plain integer arithmetic: the same bits on every CPU.
#pragma once

#include <bit>
#include <cstdint>

namespace bitnetd::quant {

// IEEE binary16, subnormals, infinities and NaN included; exact.
constexpr float half_to_float(uint16_t half) noexcept {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t rest = half & 0x7FFF;
    uint32_t bits = (rest << 13) + (112u << 23);
    if (rest >= 0x7C00) bits = 0x7F800000 | rest << 13;
    // A subnormal is a whole number of 2^-24.
    if (rest < 0x0400) bits = std::bit_cast<uint32_t>(static_cast<float>(rest) * 0x1p-24f);
    return std::bit_cast<float>(sign | bits);
}

// To nearest, ties to even; infinity beyond the range; a NaN stays one.
constexpr uint16_t float_to_half(float value) noexcept {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
    const uint32_t rest = bits & 0x7FFFFFFF;
    uint32_t half = 0;
    if (rest > 0x7F800000) {
        half = 0x7E00;
    } else if (rest >= 0x47800000) {  // 2^16 and above; what rounds up to it is handled below
        half = 0x7C00;
    } else if (rest >= 0x38800000) {  // 2^-14, the smallest normal half, and above
        half = (rest - (112u << 23) + 0x0FFF + (rest >> 13 & 1)) >> 13;
    } else {
        // Adding 0.5 leaves the value as a multiple of 2^-24 in the low bits, rounded by the adder.
        const float shifted = std::bit_cast<float>(rest) + 0.5f;
        half = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f);
    }
    return static_cast<uint16_t>(sign | half);
}

// bfloat16 is the upper half of a float.
constexpr float bf16_to_float(uint16_t bf16) noexcept {
    return std::bit_cast<float>(static_cast<uint32_t>(bf16) << 16);
}

// To nearest, ties to even; infinity beyond the range; a NaN becomes quiet.
constexpr uint16_t float_to_bf16(float value) noexcept {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x0040);
    return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace bitnetd::quant
