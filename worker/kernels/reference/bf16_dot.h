// What VDPBF16PS computes, step by step (MatmulBf16Dot in kernel_api.h).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::reference {
namespace {

// Subnormal numbers become zero of their sign.
float flushed(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    return (bits & 0x7f800000) == 0 ? std::bit_cast<float>(bits & 0x80000000) : value;
}

float bf16_value(Bf16 value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// To nearest, ties to even; infinity beyond the range; a NaN becomes quiet.
Bf16 float_to_bf16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return {static_cast<uint16_t>(bits >> 16 | 0x40)};
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// acc + x * w. The product of two bfloat16 numbers is exact, so the one rounding is the sum's.
float add_product(float acc, Bf16 x, Bf16 w) {
    return flushed(std::fma(flushed(bf16_value(x)), flushed(bf16_value(w)), flushed(acc)));
}

void matmul_bf16_dot(int32_t m, int32_t n, int32_t k, const Bf16* x, const Bf16* w, float* y,
                     int64_t y_stride) noexcept {
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            float lane[16] = {};
            for (int64_t t = 0; t < (k + 31) / 32 * 32; t += 2) {
                float& acc = lane[t / 2 % 16];
                for (const int64_t at : {t + 1, t}) {
                    const Bf16 none{0};
                    acc = add_product(acc, at < k ? x[i * k + at] : none,
                                      at < k ? w[j * k + at] : none);
                }
            }
            for (int half = 8; half >= 1; half /= 2) {
                for (int l = 0; l < half; ++l)
                    lane[l] += lane[l + half];
            }
            y[i * y_stride + j] = lane[0];
        }
    }
}

}  // namespace
}  // namespace bitnetd::kernels::reference
