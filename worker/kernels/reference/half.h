// IEEE half <-> float, bit by bit. Both directions give what the F16C instructions give.
#pragma once

#include <bit>
#include <cstdint>

namespace bitnetd::kernels::reference {
namespace {

float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 31;
    const uint32_t fraction = half & 0x3ff;
    if (exponent == 31) {  // infinity, or NaN made quiet
        const uint32_t quiet = fraction != 0 ? 0x400000u : 0u;
        return std::bit_cast<float>(sign | 0x7f800000u | quiet | fraction << 13);
    }
    if (exponent == 0) {  // zero or subnormal: fraction * 2^-24 is exact
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

// Shifts right by `bits` (1..24), rounding to nearest, ties to even.
uint32_t shift_rounded(uint32_t value, uint32_t bits) {
    const uint32_t kept = value >> bits;
    const uint32_t lost = value & ((1u << bits) - 1);
    const uint32_t tie = 1u << (bits - 1);
    const bool up = lost > tie || (lost == tie && (kept & 1) != 0);
    return kept + (up ? 1 : 0);
}

uint16_t float_to_half(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;
    uint32_t half = 0;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00 | ((magnitude >> 13) & 0x1ff);  // NaN made quiet
    } else if (magnitude >= 0x47800000u) {
        half = 0x7c00;  // 65536 and more
    } else if (magnitude >= 0x38800000u) {
        // Normal: rebias the exponent; a carry out of the fraction goes into it, up to infinity.
        half = shift_rounded(magnitude - (112u << 23), 13);
    } else if (magnitude >= 0x33000000u) {
        // Subnormal: value / 2^-24, from the fraction with its hidden bit.
        half = shift_rounded((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >> 23));
    }
    return static_cast<uint16_t>(sign | half);
}

}  // namespace
}  // namespace bitnetd::kernels::reference
