// Products of bfloat16 rows with bfloat16 rows by VDPBF16PS: pairs of products added to a float at
// once, a float class of its own. The contract, down to what the instruction rounds and flushes, is
// at MatmulBf16Dot in kernel_api.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "worker/kernels/avx512/f32x16.h"
#include "worker/kernels/lanes/dots.h"

namespace bitnetd::kernels::avx512bf16 {
namespace {

using avx512::F32x16;

constexpr int32_t kPairs = 32;  // elements of one register

__m512bh load_pairs(const Bf16* at) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(at));
}

__m512bh load_pairs(const Bf16* at, int32_t count) {
    const __mmask32 first = static_cast<__mmask32>((uint64_t{1} << count) - 1);
    return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(first, at));
}

// acc[i * N + j] = the lanes of x row i times w row j; both with rows of k. The N rows of w that
// come next are prefetched one after the other, as in lanes/dots.h.
template <int M, int N>
void dot_tile(const Bf16* x, const Bf16* w, int64_t k, F32x16* acc) {
    __m512 sum[M * N];
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        sum[i] = _mm512_setzero_ps();
    int64_t t = 0;
    for (; t + kPairs <= k; t += kPairs) {
        __m512bh row[M];
#pragma GCC unroll 4
        for (int i = 0; i < M; ++i)
            row[i] = load_pairs(x + i * k + t);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) {
            const char* ahead = reinterpret_cast<const char*>(w + N * k) + lanes::kDotPrefetchLead;
            _mm_prefetch(ahead + (t * N + j * kPairs) * int64_t{sizeof(Bf16)}, _MM_HINT_T0);
            const __m512bh column = load_pairs(w + j * k + t);
#pragma GCC unroll 4
            for (int i = 0; i < M; ++i)
                sum[i * N + j] = _mm512_dpbf16_ps(sum[i * N + j], row[i], column);
        }
    }
    if (t < k) {
        const int32_t tail = static_cast<int32_t>(k - t);
#pragma GCC unroll 16
        for (int i = 0; i < M * N; ++i) {
            sum[i] = _mm512_dpbf16_ps(sum[i], load_pairs(x + (i / N) * k + t, tail),
                                      load_pairs(w + (i % N) * k + t, tail));
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        acc[i] = {sum[i]};
}

// M rows of x by 8 rows of w.
template <int M>
void eight_columns(int64_t k, const Bf16* x, const Bf16* w, float* y, int64_t y_stride) {
    constexpr int N = M == 1 ? 2 : 4;
    F32x16 acc[M][8];
    for (int part = 0; part < 8; part += N) {
        F32x16 tile[M * N];
        dot_tile<M, N>(x, w + part * k, k, tile);
        for (int i = 0; i < M * N; ++i)
            acc[i / N][part + i % N] = tile[i];
    }
    for (int i = 0; i < M; ++i)
        lanes::total_8(acc[i], y + i * y_stride);
}

void matmul_bf16_dot(int32_t m, int32_t n, int32_t k, const Bf16* x, const Bf16* w, float* y,
                     int64_t y_stride) noexcept {
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) {  // every row of x while 8 rows of w are in the cache
        const Bf16* rows = w + j * k;
        int64_t i = 0;
        for (; i + 4 <= m; i += 4)
            eight_columns<4>(k, x + i * k, rows, y + i * y_stride + j, y_stride);
        for (; i < m; ++i)
            eight_columns<1>(k, x + i * k, rows, y + i * y_stride + j, y_stride);
    }
    for (; j < n; ++j) {
        for (int64_t i = 0; i < m; ++i) {
            F32x16 acc;
            dot_tile<1, 1>(x + i * k, w + j * k, k, &acc);
            y[i * y_stride + j] = acc.total();
        }
    }
}

}  // namespace
}  // namespace bitnetd::kernels::avx512bf16
