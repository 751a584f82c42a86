// The ternary product, written once: D is an instruction set's TernaryDot (a byte vector and how it
// multiplies and adds). Codes are taken from the packed bytes in registers and used for up to
// D::kRows rows at once, so that weights are never written back unpacked:
//   one row       bound by reading the weights: four weight rows at a time, the next four
//   prefetched more rows     bound by arithmetic: all rows, up to 64 that stay in the second cache,
//   pass by a
//                 few weight rows that stay in the first
// The contract is in kernel_api.h.
#pragma once

#include <cstdint>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::lanes {

constexpr int32_t kFieldBytes = kTernaryBlock / 4;  // weights of one 2-bit field of a block
constexpr int32_t kRowsTogether = 72;
constexpr int32_t kInputsMax = 1 << 17;  // of a row of weights
constexpr int32_t kPrefetchLead =
    2048;  // bytes beyond the next rows, so that short rows lead enough

// Codes of N packed rows. Reading field 0 also prefetches from the next N rows. The rows are read
// side by side but prefetched one after the other: a single ascending stream is what the memory
// system is best at (measured on Zen 4: 27 GB/s of weights on one core, 12 when prefetched side by
// side).
template <typename D, int N>
struct PackedCodes {
    const uint8_t* w;
    int64_t stride;

    template <int kField>
    typename D::Bytes get(int j, int32_t block, int32_t part) const {
        const int64_t offset = static_cast<int64_t>(block) * kTernaryBlockBytes + part;
        if constexpr (kField == 0) {
            const int64_t ahead = (static_cast<int64_t>(block) * N + j) * kTernaryBlockBytes + part;
            __builtin_prefetch(w + N * stride + kPrefetchLead + ahead);
        }
        const uint8_t* at = w + j * stride + offset;
        return D::template field<kField>(D::load(at));
    }
};

template <typename D, int M, int N, int kField>
inline void add_field(const PackedCodes<D, N>& codes, const int8_t* q, int64_t q_stride,
                      int32_t block, int32_t part, typename D::Sum* sum) {
    typename D::Bytes code[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j)
        code[j] = codes.template get<kField>(j, block, part);
    const int8_t* at =
        q + static_cast<int64_t>(block) * kTernaryBlock + kField * kFieldBytes + part;
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
        const typename D::Bytes activations = D::load(at + i * q_stride);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) {
            sum[i * N + j] = D::add(sum[i * N + j], code[j], activations);
        }
    }
}

// sum[i * N + j] += code * q over blocks begin .. end - 1.
template <typename D, int M, int N>
inline void add_blocks(const PackedCodes<D, N>& codes, const int8_t* q, int64_t q_stride,
                       int32_t begin, int32_t end, typename D::Sum* sum) {
    for (int32_t block = begin; block < end; ++block) {
#pragma GCC unroll 2
        for (int32_t part = 0; part < kFieldBytes; part += D::kBytes) {
            add_field<D, M, N, 0>(codes, q, q_stride, block, part, sum);
            add_field<D, M, N, 1>(codes, q, q_stride, block, part, sum);
            add_field<D, M, N, 2>(codes, q, q_stride, block, part, sum);
            add_field<D, M, N, 3>(codes, q, q_stride, block, part, sum);
        }
    }
}

// wide[i * N + j] = the lanes of the sum of code * q over `blocks` blocks.
template <typename D, int M, int N>
inline void add_rows(const PackedCodes<D, N>& codes, const int8_t* q, int64_t q_stride,
                     int32_t blocks, typename D::Wide* wide) {
    constexpr int32_t kAddsPerBlock = kTernaryBlock / D::kBytes;
    typename D::Sum sum[M * N];
#pragma GCC unroll 32
    for (int i = 0; i < M * N; ++i)
        sum[i] = D::zero();
    if constexpr (D::kAddsMax >= kInputsMax) {
        add_blocks<D, M, N>(codes, q, q_stride, 0, blocks, sum);
#pragma GCC unroll 32
        for (int i = 0; i < M * N; ++i)
            wide[i] = D::widen(D::zero(), sum[i]);
        return;
    }
    // A Sum takes kAddsMax additions before it must be widened.
    constexpr int32_t kSegment = D::kAddsMax / kAddsPerBlock;
#pragma GCC unroll 32
    for (int i = 0; i < M * N; ++i)
        wide[i] = D::zero();
    for (int32_t begin = 0; begin < blocks; begin += kSegment) {
        const int32_t end = blocks - begin < kSegment ? blocks : begin + kSegment;
        add_blocks<D, M, N>(codes, q, q_stride, begin, end, sum);
#pragma GCC unroll 32
        for (int i = 0; i < M * N; ++i) {
            wide[i] = D::widen(wide[i], sum[i]);
            sum[i] = D::zero();
        }
    }
}

// totals[i * N + j] = sum of code * q over `blocks` blocks, for M activation rows and N weight
// rows.
template <typename D, int M, int N>
inline void tile(const PackedCodes<D, N>& codes, const int8_t* q, int64_t q_stride, int32_t blocks,
                 int32_t* totals) {
    typename D::Wide wide[M * N];
    add_rows<D, M, N>(codes, q, q_stride, blocks, wide);
    if constexpr (M * N % 4 == 0) {
#pragma GCC unroll 4
        for (int i = 0; i < M * N; i += 4)
            D::totals_4(wide + i, totals + i);
    } else {
#pragma GCC unroll 32
        for (int i = 0; i < M * N; ++i)
            totals[i] = D::total(wide[i]);
    }
}

// What ternary_gemm was called with.
struct TernaryCall {
    int32_t blocks;    // of 256 weights in a row
    int64_t q_stride;  // bytes
    int64_t w_stride;  // bytes
    const int8_t* q;
    const int32_t* q_sum;
    const float* x_scale;
    const uint8_t* w;
    float w_scale;
    float* y;
    int64_t y_stride;
};

// A template, so that the object of an instruction set keeps it to itself.
template <typename D>
inline TernaryCall call_of(int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                           const float* x_scale, const uint8_t* w, float w_scale, float* y,
                           int64_t y_stride) {
    return {k_padded / kTernaryBlock,
            k_padded,
            k_padded / 4,
            q,
            q_sum,
            x_scale,
            w,
            w_scale,
            y,
            y_stride};
}

using Ints4 = int32_t __attribute__((vector_size(16)));
using Floats4 = float __attribute__((vector_size(16)));

// Row i, weight rows j..j+N-1, from the sums of code * q.
template <typename D, int N>
inline void store_row(const TernaryCall& call, int64_t i, int64_t j, const int32_t* totals) {
    float* y = call.y + i * call.y_stride + j;
    if constexpr (N == 4) {  // one division for all
        Ints4 sums;
        __builtin_memcpy(&sums, totals, sizeof sums);
        sums -= call.q_sum[i];
        const Floats4 values =
            __builtin_convertvector(sums, Floats4) / call.x_scale[i] * call.w_scale;
        __builtin_memcpy(y, &values, sizeof values);
    } else {
#pragma GCC unroll 4
        for (int c = 0; c < N; ++c) {
            const float sum = static_cast<float>(totals[c] - call.q_sum[i]);
            y[c] = sum / call.x_scale[i] * call.w_scale;
        }
    }
}

// M rows from row i on and weight rows j..j+N-1.
template <typename D, int M, int N>
inline void columns_of(const TernaryCall& call, int64_t i, int64_t j) {
    const PackedCodes<D, N> codes{call.w + j * call.w_stride, call.w_stride};
    int32_t totals[M * N];
    tile<D, M, N>(codes, call.q + i * call.q_stride, call.q_stride, call.blocks, totals);
    for (int r = 0; r < M; ++r)
        store_row<D, N>(call, i + r, j, totals + r * N);
}

// Rows first .. last - 1 and weight rows j..j+N-1, as many rows at a time as there are registers
// for.
template <typename D, int N>
inline void rows_of(const TernaryCall& call, int32_t first, int32_t last, int64_t j) {
    int32_t i = first;
    for (; i + D::kRows <= last; i += D::kRows)
        columns_of<D, D::kRows, N>(call, i, j);
    if constexpr (D::kRows > 4) {
        if (i + 4 <= last) {
            columns_of<D, 4, N>(call, i, j);
            i += 4;
        }
    }
    if (last - i == 3) return columns_of<D, 3, N>(call, i, j);
    if (last - i == 2) return columns_of<D, 2, N>(call, i, j);
    if (last - i == 1) columns_of<D, 1, N>(call, i, j);
}

template <typename D, int N>
inline void all_columns(const TernaryCall& call, int32_t first, int32_t last, int32_t n) {
    int64_t j = 0;
    for (; j + N <= n; j += N)
        rows_of<D, N>(call, first, last, j);
    for (; j < n; ++j)
        rows_of<D, 1>(call, first, last, j);
}

template <typename D>
void ternary_gemm(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                  const float* x_scale, const uint8_t* w, float w_scale, float* y,
                  int64_t y_stride) noexcept {
    const TernaryCall call = call_of<D>(k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
    if (m == 1) return all_columns<D, 4>(call, 0, 1, n);
    for (int32_t i = 0; i < m; i += kRowsTogether)
        all_columns<D, D::kColumns>(call, i, m - i < kRowsTogether ? m : i + kRowsTogether, n);
}

}  // namespace bitnetd::kernels::lanes
