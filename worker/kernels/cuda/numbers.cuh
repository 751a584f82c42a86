// The conversions and functions of single numbers that the reference tables use
// (worker/kernels/reference), bit for bit.
#pragma once

#include "worker/kernels/cuda/device_ops.cuh"
#include "worker/kernels/exp_poly.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::cuda {
namespace {

BITNETD_DEVICE float power_of_two(int32_t exponent) {
    return float_of(static_cast<uint32_t>(exponent + 127) << 23);
}

BITNETD_DEVICE float exp_of(float x) {
    static_assert(kExpTermCount == 8);
    constexpr float kTerm0 = kExpTerms[0], kTerm1 = kExpTerms[1], kTerm2 = kExpTerms[2],
                    kTerm3 = kExpTerms[3], kTerm4 = kExpTerms[4], kTerm5 = kExpTerms[5],
                    kTerm6 = kExpTerms[6], kTerm7 = kExpTerms[7];
    x = kExpMax < x ? kExpMax : x;  // both comparisons let NaN through
    x = kExpMin > x ? kExpMin : x;
    const float t = fma(x, kLog2E, kRound);
    const float whole = t - kRound;
    const float r = fma(whole, -kLn2Low, fma(whole, -kLn2High, x));
    float p = fma(kTerm0, r, kTerm1);
    p = fma(p, r, kTerm2);
    p = fma(p, r, kTerm3);
    p = fma(p, r, kTerm4);
    p = fma(p, r, kTerm5);
    p = fma(p, r, kTerm6);
    p = fma(p, r, kTerm7);
    const int32_t n = static_cast<int32_t>(bits_of(t) - bits_of(kRound));
    const int32_t half = n >> 1;
    return p * power_of_two(half) * power_of_two(n - half);
}

// x of the kernel table's SoftCap.
BITNETD_DEVICE float soft_cap(float x, float cap) {
    return cap * (1.0f - 2.0f / (exp_of(2.0f * (x / cap)) + 1.0f));
}

BITNETD_DEVICE float magnitude_of(float x) {
    return float_of(bits_of(x) & 0x7fffffff);
}

BITNETD_DEVICE bool is_finite(float x) {
    return (bits_of(x) & 0x7f800000u) != 0x7f800000u;
}

// To nearest, ties to even, within +-127 (which NaN becomes too).
BITNETD_DEVICE int8_t quantised(float value, float scale) {
    float q = value * scale;
    q = q > -127.0f ? q : -127.0f;
    q = q < 127.0f ? q : 127.0f;
    return static_cast<int8_t>((q + kRound) - kRound);
}

// Exact; what a NaN carries may differ on a device, where it is one instruction.
BITNETD_DEVICE float half_to_float(uint16_t half) {
#ifdef __CUDACC__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
#else
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 31;
    const uint32_t fraction = half & 0x3ff;
    if (exponent == 31) {  // infinity, or NaN made quiet
        return float_of(sign | 0x7f800000u | (fraction != 0 ? 0x400000u : 0u) | fraction << 13);
    }
    if (exponent == 0) return float_of(sign | bits_of(static_cast<float>(fraction) * 0x1p-24f));
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
#endif
}

// Shifts right by `bits` (1..24), rounding to nearest, ties to even.
BITNETD_DEVICE uint32_t shift_rounded(uint32_t value, uint32_t bits) {
    const uint32_t kept = value >> bits;
    const uint32_t lost = value & ((1u << bits) - 1);
    const uint32_t tie = 1u << (bits - 1);
    return kept + (lost > tie || (lost == tie && (kept & 1) != 0) ? 1 : 0);
}

BITNETD_DEVICE uint16_t float_to_half(float value) {
    const uint32_t sign = (bits_of(value) >> 16) & 0x8000;
    const uint32_t magnitude = bits_of(value) & 0x7fffffff;
    uint32_t half = 0;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00 | ((magnitude >> 13) & 0x1ff);  // NaN made quiet
    } else if (magnitude >= 0x47800000u) {
        half = 0x7c00;  // 65536 and more
    } else if (magnitude >= 0x38800000u) {
        half = shift_rounded(magnitude - (112u << 23), 13);
    } else if (magnitude >= 0x33000000u) {
        half = shift_rounded((magnitude & 0x7fffff) | 0x800000, 126 - (magnitude >> 23));
    }
    return static_cast<uint16_t>(sign | half);
}

// What a matrix or a page stores, as a float.
BITNETD_DEVICE float to_float(float value) {
    return value;
}
BITNETD_DEVICE float to_float(uint16_t half) {
    return half_to_float(half);
}
BITNETD_DEVICE float to_float(Bf16 value) {
    return float_of(static_cast<uint32_t>(value.bits) << 16);
}
BITNETD_DEVICE float to_float(int8_t code) {
    return code;
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
