// The ternary product, written once: D is an instruction set's TernaryDot (a byte vector and how it
// multiplies and adds). Three shapes of work, one inner tile:
//   one row       bound by reading the weights: four weight rows at a time, codes taken from the
//                 packed bytes in registers, the next four rows prefetched
//   few rows      the same, each code used for up to four rows
//   many rows     bound by arithmetic: the codes of a few weight rows are unpacked once into 16 KiB
//                 on the stack and used for up to 64 rows, four at a time
// All give the same integers. The contract is in kernel_api.h.
#pragma once

#include <cstdint>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::lanes {

constexpr int32_t kFieldBytes = kTernaryBlock / 4;  // weights of one 2-bit field of a block
constexpr int32_t kChunkBlocks = 16;                // unpacked at a time: 4096 weights of each row
constexpr int32_t kChunk = kChunkBlocks * kTernaryBlock;
constexpr int32_t kRowsTogether = 64;
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

// Codes of N rows unpacked by unpack_rows().
template <typename D>
struct UnpackedCodes {
    const uint8_t* codes;

    template <int kField>
    typename D::Bytes get(int j, int32_t block, int32_t part) const {
        return D::load(codes + j * kChunk + block * kTernaryBlock + kField * kFieldBytes + part);
    }
};

template <typename D, int M, int N, int kField, typename Codes>
inline void add_field(const Codes& codes, const int8_t* q, int64_t q_stride, int32_t block,
                      int32_t part, typename D::Sum* sum) {
    typename D::Bytes code[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j)
        code[j] = codes.template get<kField>(j, block, part);
    const int8_t* at =
        q + static_cast<int64_t>(block) * kTernaryBlock + kField * kFieldBytes + part;
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) {
        const typename D::Bytes activations = D::load(at + i * q_stride);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) {
            sum[i * N + j] = D::add(sum[i * N + j], code[j], activations);
        }
    }
}

// totals[i * N + j] = sum of code * q over `blocks` blocks, for M activation rows and N weight
// rows.
template <typename D, int M, int N, typename Codes>
inline void tile(const Codes& codes, const int8_t* q, int64_t q_stride, int32_t blocks,
                 int32_t* totals) {
    // A Sum takes kAddsMax additions before it must be widened; one block makes 256 / kBytes.
    constexpr int32_t kSegment = D::kAddsMax / (kTernaryBlock / D::kBytes);
    typename D::Wide wide[M * N];
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        wide[i] = D::zero();
    for (int32_t begin = 0; begin < blocks; begin += kSegment) {
        const int32_t end = blocks - begin < kSegment ? blocks : begin + kSegment;
        typename D::Sum sum[M * N];
#pragma GCC unroll 16
        for (int i = 0; i < M * N; ++i)
            sum[i] = D::zero();
        for (int32_t block = begin; block < end; ++block) {
#pragma GCC unroll 2
            for (int32_t part = 0; part < kFieldBytes; part += D::kBytes) {
                add_field<D, M, N, 0>(codes, q, q_stride, block, part, sum);
                add_field<D, M, N, 1>(codes, q, q_stride, block, part, sum);
                add_field<D, M, N, 2>(codes, q, q_stride, block, part, sum);
                add_field<D, M, N, 3>(codes, q, q_stride, block, part, sum);
            }
        }
#pragma GCC unroll 16
        for (int i = 0; i < M * N; ++i)
            wide[i] = D::widen(wide[i], sum[i]);
    }
    if constexpr (M * N % 4 == 0) {
#pragma GCC unroll 4
        for (int i = 0; i < M * N; i += 4)
            D::totals_4(wide + i, totals + i);
    } else {
#pragma GCC unroll 16
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

// Row i, weight rows j..j+N-1, from the sums of code * q.
template <typename D, int N>
inline void store_row(const TernaryCall& call, int64_t i, int64_t j, const int32_t* totals) {
    float* y = call.y + i * call.y_stride + j;
#pragma GCC unroll 4
    for (int c = 0; c < N; ++c) {
        const float sum = static_cast<float>(totals[c] - call.q_sum[i]);
        y[c] = sum / call.x_scale[i] * call.w_scale;
    }
}

// M rows from row i on and weight rows j..j+N-1, codes straight from the packed bytes.
template <typename D, int M, int N>
inline void packed_columns(const TernaryCall& call, int64_t i, int64_t j) {
    const PackedCodes<D, N> codes{call.w + j * call.w_stride, call.w_stride};
    int32_t totals[M * N];
    tile<D, M, N>(codes, call.q + i * call.q_stride, call.q_stride, call.blocks, totals);
    for (int r = 0; r < M; ++r)
        store_row<D, N>(call, i + r, j, totals + r * N);
}

// Rows i..i+rows-1 (at most 4) and weight rows j..j+N-1.
template <typename D, int N>
inline void packed_group(const TernaryCall& call, int64_t i, int32_t rows, int64_t j) {
    if (rows == 1) return packed_columns<D, 1, N>(call, i, j);
    if (rows == 2) return packed_columns<D, 2, N>(call, i, j);
    if (rows == 3) return packed_columns<D, 3, N>(call, i, j);
    packed_columns<D, 4, N>(call, i, j);
}

// All rows, codes straight from the packed bytes. Rows from the fifth on find the weights in the
// cache.
template <typename D, int N>
inline void packed_rows(const TernaryCall& call, int32_t m, int32_t n) {
    const auto columns = [&]<int kColumns>(int64_t j) {
        for (int32_t i = 0; i < m; i += 4)
            packed_group<D, kColumns>(call, i, m - i < 4 ? m - i : 4, j);
    };
    int64_t j = 0;
    for (; j + N <= n; j += N)
        columns.template operator()<N>(j);
    for (; j < n; ++j)
        columns.template operator()<1>(j);
}

template <typename D, int N, int kField>
inline void unpack_field(const PackedCodes<D, N>& packed, int j, int32_t block, uint8_t* row) {
    for (int32_t part = 0; part < kFieldBytes; part += D::kBytes) {
        uint8_t* at = row + block * kTernaryBlock + kField * kFieldBytes + part;
        D::store(at, packed.template get<kField>(j, block, part));
    }
}

// codes[j][t] = the code of weight t of row j, for up to kChunkBlocks blocks of N rows.
template <typename D, int N>
inline void unpack_rows(const PackedCodes<D, N>& packed, int32_t blocks, uint8_t* codes) {
    for (int j = 0; j < N; ++j) {
        uint8_t* row = codes + j * kChunk;
        for (int32_t block = 0; block < blocks; ++block) {
            unpack_field<D, N, 0>(packed, j, block, row);
            unpack_field<D, N, 1>(packed, j, block, row);
            unpack_field<D, N, 2>(packed, j, block, row);
            unpack_field<D, N, 3>(packed, j, block, row);
        }
    }
}

// Adds one chunk's products of M rows to their sums.
template <typename D, int M, int N>
inline void chunk_rows(const uint8_t* codes, const int8_t* q, int64_t q_stride, int32_t blocks,
                       int32_t* sums) {
    int32_t totals[M * N];
    tile<D, M, N>(UnpackedCodes<D>{codes}, q, q_stride, blocks, totals);
    for (int i = 0; i < M * N; ++i)
        sums[i] += totals[i];
}

// Rows i..i+rows-1 (at most kRowsTogether) and weight rows j..j+N-1.
template <typename D, int N>
inline void unpacked_columns(const TernaryCall& call, int64_t i, int32_t rows, int64_t j) {
    alignas(64) uint8_t codes[N * kChunk];
    int32_t sums[kRowsTogether * N] = {};
    for (int32_t begin = 0; begin < call.blocks; begin += kChunkBlocks) {
        const int32_t left = call.blocks - begin;
        const int32_t blocks = left < kChunkBlocks ? left : kChunkBlocks;
        const uint8_t* w =
            call.w + j * call.w_stride + static_cast<int64_t>(begin) * kTernaryBlockBytes;
        unpack_rows(PackedCodes<D, N>{w, call.w_stride}, blocks, codes);
        const int8_t* q = call.q + i * call.q_stride + static_cast<int64_t>(begin) * kTernaryBlock;
        int32_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            chunk_rows<D, 4, N>(codes, q + r * call.q_stride, call.q_stride, blocks, sums + r * N);
        }
        for (; r < rows; ++r) {
            chunk_rows<D, 1, N>(codes, q + r * call.q_stride, call.q_stride, blocks, sums + r * N);
        }
    }
    for (int32_t r = 0; r < rows; ++r)
        store_row<D, N>(call, i + r, j, sums + r * N);
}

template <typename D>
inline void unpacked_rows(const TernaryCall& call, int32_t m, int32_t n) {
    for (int32_t i = 0; i < m; i += kRowsTogether) {
        const int32_t rows = m - i < kRowsTogether ? m - i : kRowsTogether;
        int32_t j = 0;
        for (; j + D::kColumns <= n; j += D::kColumns) {
            unpacked_columns<D, D::kColumns>(call, i, rows, j);
        }
        for (; j < n; ++j)
            unpacked_columns<D, 1>(call, i, rows, j);
    }
}

constexpr int32_t kUnpackedFrom = 9;

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

template <typename D>
void ternary_packed(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                    const float* x_scale, const uint8_t* w, float w_scale, float* y,
                    int64_t y_stride) noexcept {
    const TernaryCall call = call_of<D>(k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
    if (m == 1) return packed_rows<D, 4>(call, m, n);
    packed_rows<D, D::kColumns>(call, m, n);
}

template <typename D>
void ternary_unpacked(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                      const float* x_scale, const uint8_t* w, float w_scale, float* y,
                      int64_t y_stride) noexcept {
    unpacked_rows<D>(call_of<D>(k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride), m, n);
}

template <typename D>
void ternary_gemm(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                  const float* x_scale, const uint8_t* w, float w_scale, float* y,
                  int64_t y_stride) noexcept {
    const auto run = m < kUnpackedFrom ? ternary_packed<D> : ternary_unpacked<D>;
    run(m, n, k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
}

}  // namespace bitnetd::kernels::lanes
