// How NEON multiplies the code bytes of packed matrices by activations: byte products are added to
// 16-bit lanes (SMLAL), and those widened to 32 before they can wrap.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "worker/kernels/neon/f32x16.h"

namespace bitnetd::kernels::neon {
namespace {

struct BlockDot {
    struct Codes {  // of 4 columns by 16 rows: rows 0-3, 4-7, 8-11, 12-15
        uint8x16_t a, b, c, d;
    };
    static constexpr int kRows = 4;       // 16 registers of sums; codes come from the stack
    static constexpr int kFloatRows = 2;  // 32 of sums, some on the stack: cheaper than codes twice

    static Codes load(const uint8_t* at) {
        return {vld1q_u8(at), vld1q_u8(at + 16), vld1q_u8(at + 32), vld1q_u8(at + 48)};
    }
    static Codes low(const Codes& both) {
        const uint8x16_t mask = vdupq_n_u8(15);
        return {both.a & mask, both.b & mask, both.c & mask, both.d & mask};
    }
    static Codes high(const Codes& both) {
        return {vshrq_n_u8(both.a, 4), vshrq_n_u8(both.b, 4), vshrq_n_u8(both.c, 4),
                vshrq_n_u8(both.d, 4)};
    }
    // Four activations, for every row.
    static int8x16_t four(const int8_t* q) {
        int32_t bits = 0;
        std::memcpy(&bits, q, sizeof bits);
        return vreinterpretq_s8_s32(vdupq_n_s32(bits));
    }
    // Codes as signed bytes. Those of a whole byte lose their bias on the way.
    template <BlockLayout L>
    static int8x16_t signed_codes(uint8x16_t codes) {
        static_assert(L.code_max <= 127 || L.bias == 128);
        if constexpr (L.code_max > 127) codes = veorq_u8(codes, vdupq_n_u8(128));
        return vreinterpretq_s8_u8(codes);
    }
    // What signed_codes() leaves of the bias.
    template <BlockLayout L>
    static constexpr int32_t kBiasLeft = L.code_max > 127 ? 0 : L.bias;

    // Of each row: the sum of (code - bias) * q over one group of columns, whose q sum to q_sum.
    template <BlockLayout L>
    static I32x16 dot(const Codes* quad, const int8_t* q, int32_t q_sum) {
        const int32x4_t bias = vdupq_n_s32(-kBiasLeft<L> * q_sum);
        return {rows<L, &Codes::a>(quad, q) + bias, rows<L, &Codes::b>(quad, q) + bias,
                rows<L, &Codes::c>(quad, q) + bias, rows<L, &Codes::d>(quad, q) + bias};
    }

    // The floats code - bias of one column of a quad.
    template <BlockLayout L, int kColumn>
    static F32x16 column(const Codes& quad) {
        return {column_of<L, kColumn>(quad.a), column_of<L, kColumn>(quad.b),
                column_of<L, kColumn>(quad.c), column_of<L, kColumn>(quad.d)};
    }

  private:
    // Four rows' sums of code * q. A row's four columns are four 16-bit lanes until the end.
    template <BlockLayout L, uint8x16_t Codes::*kRowsOf>
    static int32x4_t rows(const Codes* quad, const int8_t* q) {
        constexpr int kCodeMax = L.code_max > 127 ? 128 : L.code_max;
        constexpr int kAddsMax = 32767 / (kCodeMax * 127);
        int32x4_t wide_low = vdupq_n_s32(0);
        int32x4_t wide_high = vdupq_n_s32(0);
        int16x8_t low = vdupq_n_s16(0);
        int16x8_t high = vdupq_n_s16(0);
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i) {
            const int8x16_t codes = signed_codes<L>(quad[i].*kRowsOf);
            const int8x16_t x = four(q + 4 * i);
            low = vmlal_s8(low, vget_low_s8(codes), vget_low_s8(x));
            high = vmlal_high_s8(high, codes, x);
            if ((i + 1) % kAddsMax == 0 || i + 1 == L.group / 4) {
                wide_low = vpadalq_s16(wide_low, low);
                wide_high = vpadalq_s16(wide_high, high);
                low = vdupq_n_s16(0);
                high = vdupq_n_s16(0);
            }
        }
        return vpaddq_s32(wide_low, wide_high);
    }
    // Each 32-bit lane holds a row's four columns, the first in the low bits.
    template <BlockLayout L, int kColumn>
    static float32x4_t column_of(uint8x16_t rows) {
        uint32x4_t code = vreinterpretq_u32_u8(rows);
        if constexpr (kColumn > 0) code = vshrq_n_u32(code, 8 * kColumn);
        if constexpr (kColumn < 3) code = vandq_u32(code, vdupq_n_u32(255));
        return vcvtq_f32_u32(code) - vdupq_n_f32(L.bias);
    }
};

}  // namespace
}  // namespace bitnetd::kernels::neon
