// How AVX-512BW multiplies the code bytes of packed matrices by activations: pairs of products are
// summed to 16 bits (maddubs), and those widened to 32 before they can wrap.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "worker/kernels/avx512/f32x16.h"

namespace bitnetd::kernels::avx512 {
namespace {

struct BlockDot {
    using Codes = __m512i;                // of 4 columns by 16 rows, row after row
    static constexpr int kRows = 8;       // 8 sums + 8 codes + factor, offset, products of 32
    static constexpr int kFloatRows = 4;  // 16 sums + 8 codes + factor, offset, value of 32

    static Codes load(const uint8_t* at) { return _mm512_loadu_si512(at); }
    static Codes low(Codes both) { return _mm512_and_si512(both, _mm512_set1_epi8(15)); }
    static Codes high(Codes both) {
        return _mm512_and_si512(_mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
    }
    // Four activations, for every row.
    static __m512i four(const int8_t* q) {
        int32_t bits = 0;
        std::memcpy(&bits, q, sizeof bits);
        return _mm512_set1_epi32(bits);
    }

    // Of each row: the sum of (code - bias) * q over one group of columns, whose q sum to q_sum.
    template <BlockLayout L>
    static I32x16 dot(const Codes* quad, const int8_t* q, int32_t q_sum) {
        if constexpr (L.code_max > 127) return signed_dot<L>(quad, q);
        constexpr int kAddsMax = 32767 / (2 * L.code_max * 127);
        const __m512i ones = _mm512_set1_epi16(1);
        __m512i wide = _mm512_set1_epi32(-L.bias * q_sum);
        __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i) {
            sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(quad[i], four(q + 4 * i)));
            if ((i + 1) % kAddsMax == 0 || i + 1 == L.group / 4) {
                wide = _mm512_add_epi32(wide, _mm512_madd_epi16(sum, ones));
                sum = _mm512_setzero_si512();
            }
        }
        return {wide};
    }

    // The floats code - bias of one column of a quad. A byte in the low bits of 2^23 is that much
    // more than 2^23.
    template <BlockLayout L, int kColumn>
    static F32x16 column(Codes quad) {
        const __m512i from = _mm512_add_epi32(
            _mm512_set1_epi32(kColumn),
            _mm512_set4_epi32(12, 8, 4, 0));  // shuffles within 16 bytes: 4 rows of 4 columns
        const __m512i bits = _mm512_mask_shuffle_epi8(_mm512_set1_epi32(0x4b000000),
                                                      0x1111111111111111u, quad, from);
        return {_mm512_sub_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(8388608.0f + L.bias))};
    }

  private:
    // Codes of a whole byte, as they are signed: |code| * (q with the code's sign) makes pairs of
    // at most 2 * 128 * 127 = 32512.
    template <BlockLayout L>
    static I32x16 signed_dot(const Codes* quad, const int8_t* q) {
        static_assert(L.bias == 128);
        const __m512i none = _mm512_setzero_si512();
        __m512i wide = none;
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i) {
            const __m512i code = _mm512_xor_si512(quad[i], _mm512_set1_epi8(-128));
            const __m512i x = four(q + 4 * i);
            const __m512i turned = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(code), none, x);
            const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(code), turned);
            wide = _mm512_add_epi32(wide, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
        }
        return {wide};
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx512
