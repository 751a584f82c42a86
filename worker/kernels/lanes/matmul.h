// Products of float rows with rows of floats, halves or bfloat16s, written once. Two shapes of
// work:
//   few rows    bound by reading w: every row of x while 8 rows of w are in the cache
//   many rows   bound by arithmetic: chunks of 8 rows of w stay in the first cache while the same
//               chunks of up to 32 rows of x pass by, and sums wait in memory for the next chunk
// V is an instruction set's F32x16. The order of a sum is that of kernel_api.h in both.
#pragma once

#include <cstdint>

#include "worker/kernels/lanes/dots.h"

namespace bitnetd::kernels::lanes {

constexpr int32_t kManyRows = 32;        // rows of x whose sums wait: 16 KiB
constexpr int32_t kChunkColumns = 1024;  // 16 KiB of 8 half rows, 16 KiB of 4 float rows
static_assert(kChunkColumns % 16 == 0);

// M rows of x times 8 rows of w, each of which is read (and converted) once for all M.
template <typename V, typename T, int M>
inline void matmul_tile(int32_t k, const float* x, const T* w, float* y, int64_t y_stride) {
    constexpr int N = V::kDots / M < 2 ? 1 : 2;  // few rows of w at a time: see dot_tile()
    V acc[M][8];
    for (int part = 0; part < 8; part += N) {
        V tile[M * N];
        dot_tile<V, T, M, N>(x, k, w + static_cast<int64_t>(part) * k, k, k, tile);
        for (int i = 0; i < M * N; ++i)
            acc[i / N][part + i % N] = tile[i];
    }
    for (int i = 0; i < M; ++i)
        total_8(acc[i], y + i * y_stride);
}

// acc[i][j] += the lanes of x row i times w row j over `columns` columns, for 4 rows and 8 rows.
template <typename V, typename T>
inline void matmul_chunk(const float* x, const T* w, int64_t k, int32_t columns, V (*acc)[8]) {
    constexpr int M = V::kTileSums >= 16 ? 4 : 2;
    constexpr int N = V::kTileSums >= 16 ? 4 : 2;
    for (int i = 0; i < 4; i += M) {
        for (int j = 0; j < 8; j += N) {
            V tile[M * N];
#pragma GCC unroll 16
            for (int t = 0; t < M * N; ++t)
                tile[t] = acc[i + t / N][j + t % N];
            add_dots<V, T, M, N>(x + i * k, k, w + j * k, k, columns, tile);
#pragma GCC unroll 16
            for (int t = 0; t < M * N; ++t)
                acc[i + t / N][j + t % N] = tile[t];
        }
    }
}

// `rows` rows of x, at most kManyRows and a multiple of 4, times 8 rows of w.
template <typename V, typename T>
inline void matmul_block(int32_t rows, int32_t k, const float* x, const T* w, float* y,
                         int64_t y_stride) {
    V acc[kManyRows][8];
    for (int32_t i = 0; i < rows; ++i) {
        for (V& sum : acc[i])
            sum = V::zero();
    }
    for (int32_t t = 0; t < k; t += kChunkColumns) {
        const int32_t columns = k - t < kChunkColumns ? k - t : kChunkColumns;
        for (int32_t i = 0; i < rows; i += 4)
            matmul_chunk<V, T>(x + int64_t{i} * k + t, w + t, k, columns, acc + i);
    }
    for (int32_t i = 0; i < rows; ++i)
        total_8(acc[i], y + i * y_stride);
}

template <typename V, typename T>
void matmul(int32_t m, int32_t n, int32_t k, const float* x, const T* w, float* y,
            int64_t y_stride) noexcept {
    for (; m >= kManyRows; m -= kManyRows, x += int64_t{kManyRows} * k, y += kManyRows * y_stride) {
        int32_t j = 0;
        for (; j + 8 <= n; j += 8)
            matmul_block<V, T>(kManyRows, k, x, w + int64_t{j} * k, y + j, y_stride);
        if (j == n) continue;
        for (int64_t i = 0; i < kManyRows; ++i)
            dot_rows<V>(x + i * k, w + int64_t{j} * k, k, n - j, k, y + i * y_stride + j);
    }
    if (m == 0) return;
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) {
        const T* rows = w + j * k;
        int64_t i = 0;
        for (; i + 4 <= m; i += 4) {
            matmul_tile<V, T, 4>(k, x + i * k, rows, y + i * y_stride + j, y_stride);
        }
        for (; i + 2 <= m; i += 2) {
            matmul_tile<V, T, 2>(k, x + i * k, rows, y + i * y_stride + j, y_stride);
        }
        if (i < m) matmul_tile<V, T, 1>(k, x + i * k, rows, y + i * y_stride + j, y_stride);
    }
    if (j == n) return;
    for (int64_t i = 0; i < m; ++i) {
        dot_rows<V>(x + i * k, w + j * k, k, static_cast<int32_t>(n - j), k, y + i * y_stride + j);
    }
}

}  // namespace bitnetd::kernels::lanes
