// Eight sums of 16 lanes at once, in 256-bit registers: for AVX2 and for every AVX-512 set.
#pragma once

#include <immintrin.h>

namespace bitnetd::kernels::avx2 {
namespace {

// out[i] = v[i].total() for eight: their reduction trees, step by step. V is the set's F32x16.
template <typename V>
inline void add_trees(const V* v, float* out) {
    __m256 r[8];  // +8 within each
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
        r[i] = v[i].upper_added();
    __m256 pair[4];  // +4: sums i and i + 4, four partial sums each
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        pair[i] = _mm256_add_ps(_mm256_permute2f128_ps(r[i], r[i + 4], 0x20),
                                _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
    __m256 quad[2];  // +2: sums 2i, 2i + 1 (low half), 2i + 4, 2i + 5 (high half)
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
        const __m256 a = pair[2 * i];
        const __m256 b = pair[2 * i + 1];
        quad[i] = _mm256_add_ps(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0)),
                                _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2)));
    }
    const __m256 even = _mm256_shuffle_ps(quad[0], quad[1], _MM_SHUFFLE(2, 0, 2, 0));
    const __m256 odd = _mm256_shuffle_ps(quad[0], quad[1], _MM_SHUFFLE(3, 1, 3, 1));
    _mm256_storeu_ps(out, _mm256_add_ps(even, odd));  // +1
}

}  // namespace
}  // namespace bitnetd::kernels::avx2
