// Products of bfloat16 rows with bfloat16 rows by VDPBF16PS: pairs of products added to a float at
// once, a float class of its own. The contract, down to what the instruction rounds and flushes, is
// at MatmulBf16Dot in kernel_api.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "worker/kernels/avx512/f32x16.h"
#include "worker/kernels/lanes/matmul.h"

namespace bitnetd::kernels::avx512bf16 {
namespace {

using avx512::F32x16;

constexpr int32_t kPairs = 32;                      // elements of one register
static_assert(lanes::kChunkColumns % kPairs == 0);  // only the last chunk has a tail

__m512bh load_pairs(const Bf16* at) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(at));
}

__m512bh load_pairs(const Bf16* at, int32_t count) {
    const __mmask32 first = static_cast<__mmask32>((uint64_t{1} << count) - 1);
    return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(first, at));
}

// acc[i * N + j] += the lanes of x row i times w row j over `columns` columns; both with rows of k.
// The N rows of w that come next are prefetched one after the other, as in lanes/dots.h.
template <int M, int N>
void add_dots(const Bf16* x, const Bf16* w, int64_t k, int64_t columns, F32x16* acc) {
    __m512 sum[M * N];
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        sum[i] = acc[i].v;
    int64_t t = 0;
    for (; t + kPairs <= columns; t += kPairs) {
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
    if (t < columns) {
        const int32_t tail = static_cast<int32_t>(columns - t);
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

template <int M, int N>
void dot_tile(const Bf16* x, const Bf16* w, int64_t k, F32x16* acc) {
    for (int i = 0; i < M * N; ++i)
        acc[i] = F32x16::zero();
    add_dots<M, N>(x, w, k, k, acc);
}

// Few rows of x by 8 rows of w, which are read once from memory.
void eight_columns(int32_t rows, int64_t k, const Bf16* x, const Bf16* w, float* y,
                   int64_t y_stride) {
    for (int64_t i = 0; i < rows; ++i) {
        F32x16 acc[8];
        for (int j = 0; j < 8; j += 2)
            dot_tile<1, 2>(x + i * k, w + j * k, k, acc + j);
        lanes::total_8(acc, y + i * y_stride);
    }
}

// Rows of x, at most kManyRows and a multiple of 4, by 8 rows of w, a chunk of columns after the
// other, as lanes/matmul.h does it.
void block_of_rows(int32_t rows, int64_t k, const Bf16* x, const Bf16* w, float* y,
                   int64_t y_stride) {
    F32x16 acc[lanes::kManyRows / 4][2][16];
    for (int32_t i = 0; i < rows / 4; ++i) {
        for (auto& half : acc[i]) {
            for (F32x16& sum : half)
                sum = F32x16::zero();
        }
    }
    for (int64_t t = 0; t < k; t += lanes::kChunkColumns) {
        const int64_t columns = k - t < lanes::kChunkColumns ? k - t : lanes::kChunkColumns;
        for (int32_t i = 0; i < rows / 4; ++i) {
            add_dots<4, 4>(x + 4 * i * k + t, w + t, k, columns, acc[i][0]);
            add_dots<4, 4>(x + 4 * i * k + t, w + 4 * k + t, k, columns, acc[i][1]);
        }
    }
    for (int32_t i = 0; i < rows; ++i) {
        F32x16 row[8];
        for (int j = 0; j < 8; ++j)
            row[j] = acc[i / 4][j / 4][i % 4 * 4 + j % 4];
        lanes::total_8(row, y + i * y_stride);
    }
}

void matmul_bf16_dot(int32_t m, int32_t n, int32_t k, const Bf16* x, const Bf16* w, float* y,
                     int64_t y_stride) noexcept {
    for (int64_t i = 0; i < m; i += lanes::kManyRows) {
        const auto rows = static_cast<int32_t>(m - i < lanes::kManyRows ? m - i : lanes::kManyRows);
        const int32_t fours = rows / 4 * 4;
        const Bf16* from = x + i * k;
        float* to = y + i * y_stride;
        int64_t j = 0;
        for (; j + 8 <= n; j += 8) {
            if (fours > 0) block_of_rows(fours, k, from, w + j * k, to + j, y_stride);
            eight_columns(rows - fours, k, from + int64_t{fours} * k, w + j * k,
                          to + fours * y_stride + j, y_stride);
        }
        for (; j < n; ++j) {
            for (int64_t r = 0; r < rows; ++r) {
                F32x16 acc;
                dot_tile<1, 1>(from + r * k, w + j * k, k, &acc);
                to[r * y_stride + j] = acc.total();
            }
        }
    }
}

}  // namespace
}  // namespace bitnetd::kernels::avx512bf16
