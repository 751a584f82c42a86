// Dot products of float rows with float or half rows: the sums of matmul and of attention scores.
// V is an instruction set's F32x16. Every product has its own 16 lanes and one order of additions,
// so how many are computed together changes nothing but the speed.
#pragma once

#include <cstdint>

namespace bitnetd::kernels::lanes {

constexpr int64_t kDotPrefetchLead =
    512;  // bytes beyond the next rows, so that short rows lead enough

// acc[i * N + j] += the lanes of x row i times w row j, before their reduction.
//   x float [M] rows of stride x_stride; w T [N] rows of stride w_stride; k values each
// Meanwhile the N rows after these are prefetched, one after the other: the memory system is best
// at a single ascending stream, whatever the order in which the rows are then read.
template <typename V, typename T, int M, int N>
inline void add_dots(const float* x, int64_t x_stride, const T* w, int64_t w_stride, int32_t k,
                     V* acc) {
    V sum[M * N];
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        sum[i] = acc[i];
    int32_t t = 0;
    for (; t + 16 <= k; t += 16) {
        V row[M];
#pragma GCC unroll 16
        for (int i = 0; i < M; ++i)
            row[i] = V::load(x + i * x_stride + t);
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j) {
            constexpr int kVectorBytes = 16 * static_cast<int>(sizeof(T));
            if (j * kVectorBytes % 64 == 0) {  // once per cache line
                const char* ahead =
                    reinterpret_cast<const char*>(w + N * w_stride) + kDotPrefetchLead;
                __builtin_prefetch(ahead + (t * N / 16 + j) * kVectorBytes);
            }
            const V column = V::load(w + j * w_stride + t);
#pragma GCC unroll 16
            for (int i = 0; i < M; ++i)
                sum[i * N + j] = V::fma(row[i], column, sum[i * N + j]);
        }
    }
    if (t < k) {  // the lanes beyond the tail keep their sums
        const int32_t tail = k - t;
#pragma GCC unroll 16
        for (int i = 0; i < M * N; ++i) {
            const V row = V::load(x + (i / N) * x_stride + t, tail);
            const V column = V::load(w + (i % N) * w_stride + t, tail);
            sum[i] = V::select(tail, V::fma(row, column, sum[i]), sum[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        acc[i] = sum[i];
}

// The same from zero on.
template <typename V, typename T, int M, int N>
inline void dot_tile(const float* x, int64_t x_stride, const T* w, int64_t w_stride, int32_t k,
                     V* acc) {
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        acc[i] = V::zero();
    add_dots<V, T, M, N>(x, x_stride, w, w_stride, k, acc);
}

// out[i] = v[i].total() for eight.
template <typename V>
inline void total_8(const V* v, float* out) {
    V::total_8(v, out);
}

// out[j] = x . w[j] for count rows of w.
template <typename V, typename T>
inline void dot_rows(const float* x, const T* w, int64_t w_stride, int32_t count, int32_t k,
                     float* out) {
    int32_t j = 0;
    for (; j + 8 <= count; j += 8) {
        V acc[8];
        for (int part = 0; part < 8; part += V::kDots) {
            dot_tile<V, T, 1, V::kDots>(x, 0, w + (j + part) * w_stride, w_stride, k, acc + part);
        }
        total_8(acc, out + j);
    }
    for (; j < count; ++j) {
        V acc;
        dot_tile<V, T, 1, 1>(x, 0, w + j * w_stride, w_stride, k, &acc);
        out[j] = acc.total();
    }
}

}  // namespace bitnetd::kernels::lanes
