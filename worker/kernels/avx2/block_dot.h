// How AVX2 multiplies the code bytes of packed matrices by activations: pairs of products are
// summed to 16 bits (maddubs), and those widened to 32 before they can wrap.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "worker/kernels/avx2/f32x16.h"

namespace bitnetd::kernels::avx2 {
namespace {

struct BlockDot {
    struct Codes {  // of 4 columns by 16 rows, row after row
        __m256i low, high;
    };
    static constexpr int kRows = 4;       // 4 sums are 8 of 16 registers; codes come from the stack
    static constexpr int kFloatRows = 2;  // 8 sums, some on the stack: cheaper than codes twice

    static Codes load(const uint8_t* at) {
        const auto* halves = reinterpret_cast<const __m256i*>(at);
        return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
    }
    static Codes low(const Codes& both) {
        const __m256i mask = _mm256_set1_epi8(15);
        return {_mm256_and_si256(both.low, mask), _mm256_and_si256(both.high, mask)};
    }
    static Codes high(const Codes& both) {
        return low({_mm256_srli_epi16(both.low, 4), _mm256_srli_epi16(both.high, 4)});
    }
    // Four activations, for every row.
    static __m256i four(const int8_t* q) {
        int32_t bits = 0;
        std::memcpy(&bits, q, sizeof bits);
        return _mm256_set1_epi32(bits);
    }

    // Of each row: the sum of (code - bias) * q over one group of columns, whose q sum to q_sum.
    template <BlockLayout L>
    static I32x16 dot(const Codes* quad, const int8_t* q, int32_t q_sum) {
        if constexpr (L.code_max > 127) return signed_dot<L>(quad, q);
        constexpr int kAddsMax = 32767 / (2 * L.code_max * 127);
        const __m256i ones = _mm256_set1_epi16(1);
        const __m256i none = _mm256_setzero_si256();
        I32x16 wide = {_mm256_set1_epi32(-L.bias * q_sum), _mm256_set1_epi32(-L.bias * q_sum)};
        __m256i low = none;
        __m256i high = none;
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i) {
            const __m256i x = four(q + 4 * i);
            low = _mm256_add_epi16(low, _mm256_maddubs_epi16(quad[i].low, x));
            high = _mm256_add_epi16(high, _mm256_maddubs_epi16(quad[i].high, x));
            if ((i + 1) % kAddsMax == 0 || i + 1 == L.group / 4) {
                wide = wide + I32x16{_mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones)};
                low = none;
                high = none;
            }
        }
        return wide;
    }

    // The floats code - bias of one column of a quad. A byte in the low bits of 2^23 is that much
    // more than 2^23.
    template <BlockLayout L, int kColumn>
    static F32x16 column(const Codes& quad) {
        return {column_of<L, kColumn>(quad.low), column_of<L, kColumn>(quad.high)};
    }

  private:
    template <BlockLayout L, int kColumn>
    static __m256 column_of(__m256i rows) {
        constexpr int kNone = 0x80808000;  // a byte with its top bit set gives zero
        const __m256i from = _mm256_setr_epi32(
            kNone + kColumn, kNone + 4 + kColumn, kNone + 8 + kColumn, kNone + 12 + kColumn,
            kNone + kColumn, kNone + 4 + kColumn, kNone + 8 + kColumn, kNone + 12 + kColumn);
        const __m256i bits =
            _mm256_or_si256(_mm256_shuffle_epi8(rows, from), _mm256_set1_epi32(0x4b000000));
        return _mm256_sub_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(8388608.0f + L.bias));
    }
    // Codes of a whole byte, as they are signed: |code| * (q with the code's sign) makes pairs of
    // at most 2 * 128 * 127 = 32512.
    static __m256i signed_pairs(__m256i stored, __m256i x) {
        const __m256i code = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
        const __m256i pairs =
            _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(x, code));
        return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
    template <BlockLayout L>
    static I32x16 signed_dot(const Codes* quad, const int8_t* q) {
        static_assert(L.bias == 128);
        I32x16 wide = I32x16::zero();
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i) {
            const __m256i x = four(q + 4 * i);
            wide = wide + I32x16{signed_pairs(quad[i].low, x), signed_pairs(quad[i].high, x)};
        }
        return wide;
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx2
