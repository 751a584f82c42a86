// How AVX2 multiplies codes by activations: pairs of bytes are summed to 16 bits (maddubs), and
// those widened to 32 before they can wrap.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace bitnetd::kernels::avx2 {
namespace {

struct TernaryDot {
    using Bytes = __m256i;
    using Sum = __m256i;   // 16-bit lanes
    using Wide = __m256i;  // 32-bit lanes
    static constexpr int32_t kBytes = 32;
    // A pair adds at most 2 * 2 * 127 = 508, and 64 * 508 = 32512 <= 32767.
    static constexpr int32_t kAddsMax = 64;
    static constexpr int kRows = 6;
    static constexpr int kColumns = 2;  // 6x2 sums + 2 codes + mask + product = 16 of 16

    static __m256i zero() { return _mm256_setzero_si256(); }
    static Bytes load(const void* at) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(at));
    }
    template <int kField>
    static Bytes field(Bytes packed) {
        return _mm256_and_si256(_mm256_srli_epi16(packed, 2 * kField), _mm256_set1_epi8(3));
    }
    static Sum add(Sum sum, Bytes codes, Bytes q) {
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, q));
        // Else gcc makes many products first, spills them, and adds them in pairs.
        asm("" : "+x"(sum));
        return sum;
    }
    static Wide widen(Wide wide, Sum sum) {
        return _mm256_add_epi32(wide, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
    }
    static int32_t total(Wide wide) {
        const __m128i four = halves_added(wide);
        const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
        return _mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1);
    }
    static void totals_4(const Wide* wide, int32_t* totals) {
        const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(wide[0], wide[1]),
                                                _mm256_hadd_epi32(wide[2], wide[3]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(totals), halves_added(pairs));
    }

  private:
    static __m128i halves_added(__m256i v) {
        return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx2
