// How AVX-512BW multiplies codes by activations: pairs of bytes are summed to 16 bits (maddubs),
// and those widened to 32 before they can wrap.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bitnetd::kernels::avx512 {
namespace {

struct TernaryDot {
    using Bytes = __m512i;
    using Sum = __m512i;   // 16-bit lanes
    using Wide = __m512i;  // 32-bit lanes
    static constexpr int32_t kBytes = 64;
    // A pair adds at most 2 * 2 * 127 = 508, and 64 * 508 = 32512 <= 32767.
    static constexpr int32_t kAddsMax = 64;
    static constexpr int kRows = 4;
    static constexpr int kColumns = 4;  // 4x4 sums + 4 codes + 4 packed + q + mask = 26 of 32

    static __m512i zero() { return _mm512_setzero_si512(); }
    static Bytes load(const void* at) { return _mm512_loadu_si512(at); }
    static void store(uint8_t* at, Bytes bytes) { _mm512_storeu_si512(at, bytes); }
    template <int kField>
    static Bytes field(Bytes packed) {
        return _mm512_and_si512(_mm512_srli_epi16(packed, 2 * kField), _mm512_set1_epi8(3));
    }
    static Sum add(Sum sum, Bytes codes, Bytes q) {
        sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(codes, q));
        // Else gcc makes many products first, spills them, and adds them in pairs.
        asm("" : "+v"(sum));
        return sum;
    }
    static Wide widen(Wide wide, Sum sum) {
        return _mm512_add_epi32(wide, _mm512_madd_epi16(sum, _mm512_set1_epi16(1)));
    }
    static int32_t total(Wide wide) { return _mm512_reduce_add_epi32(wide); }
    static void totals_4(const Wide* wide, int32_t* totals) {
        const __m256i pairs =
            _mm256_hadd_epi32(_mm256_hadd_epi32(halves_added(wide[0]), halves_added(wide[1])),
                              _mm256_hadd_epi32(halves_added(wide[2]), halves_added(wide[3])));
        const __m128i sums =
            _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(totals), sums);
    }

  private:
    static __m256i halves_added(__m512i v) {
        return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx512
