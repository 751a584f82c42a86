// Products of packed matrices with float activations, and single rows as floats, written once. The
// floats of four columns by 16 rows are made in registers and used for up to B::kFloatRows
// activation rows. The contract is in kernel_api.h.
#pragma once

#include <cstdint>

#include "worker/kernels/lanes/block_tile.h"

namespace bitnetd::kernels::lanes {

struct BlockMatmulCall {
    int32_t k;
    const float* x;
    const uint8_t* w;
    float* y;
    int64_t y_stride;
};

// sum[r * 4 + kColumn] += x row r's element times the values of column kColumn of a quad.
template <typename V, typename B, BlockLayout L, int M, int kColumn>
inline void add_column(V* sum, const typename B::Codes& quad, V factor, V offset, const float* x,
                       int64_t x_stride) {
    const V code = B::template column<L, kColumn>(quad);
    const V value = L.has_offsets ? V::fma(factor, code, offset) : factor * code;
#pragma GCC unroll 4
    for (int r = 0; r < M; ++r) {
        V& s = sum[r * 4 + kColumn];
        s = V::fma(V::all(x[r * x_stride + kColumn]), value, s);
    }
}

// Rows i..i+M-1 by the 16 columns of one stripe.
template <typename V, typename B, BlockLayout L, int M>
inline void matmul_stripe(const BlockMatmulCall& call, int64_t i, const uint8_t* stripe, float* y,
                          int32_t columns) {
    using Unit = BlockUnit<V, L>;
    V sum[M * 4];
#pragma GCC unroll 16
    for (int s = 0; s < M * 4; ++s)
        sum[s] = V::zero();
    const float* x = call.x + i * call.k;
    for (int64_t t = 0; t < call.k; t += L.unit, stripe += L.unit_bytes()) {
        const Unit unit(stripe);
        for (int32_t tile = 0; tile < Unit::kTiles; ++tile) {
            unit.prefetch(tile);
            typename B::Codes quad[kTileQuads];
            load_tile<B, L>(unit.codes(tile), quad);
#pragma GCC unroll 8
            for (int32_t i4 = 0; i4 < kTileQuads; ++i4, x += 4) {
                const int32_t group = tile * Unit::kTileGroups + i4 * 4 / L.group;
                const V factor = unit.factor(group);
                const V offset = unit.offset(group);
                add_column<V, B, L, M, 0>(sum, quad[i4], factor, offset, x, call.k);
                add_column<V, B, L, M, 1>(sum, quad[i4], factor, offset, x, call.k);
                add_column<V, B, L, M, 2>(sum, quad[i4], factor, offset, x, call.k);
                add_column<V, B, L, M, 3>(sum, quad[i4], factor, offset, x, call.k);
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < M; ++r) {
        const V* s = sum + r * 4;
        ((s[0] + s[1]) + (s[2] + s[3])).store(y + r * call.y_stride, columns);
    }
}

template <typename V, typename B, BlockLayout L>
inline void matmul_rows(const BlockMatmulCall& call, int32_t m, const uint8_t* stripe, float* y,
                        int32_t columns) {
    int64_t i = 0;
    for (; i + B::kFloatRows <= m; i += B::kFloatRows) {
        matmul_stripe<V, B, L, B::kFloatRows>(call, i, stripe, y + i * call.y_stride, columns);
    }
    for (; i < m; ++i)
        matmul_stripe<V, B, L, 1>(call, i, stripe, y + i * call.y_stride, columns);
}

template <typename V, typename B, int kFormat>
inline void matmul_format(BlockFormat format, const BlockMatmulCall& call, int32_t m, int32_t n) {
    if (static_cast<int>(format) != kFormat) {
        if constexpr (kFormat + 1 < kBlockFormats) {
            matmul_format<V, B, kFormat + 1>(format, call, m, n);
        }
        return;
    }
    constexpr BlockLayout kLayout = kBlockLayouts[kFormat];
    const uint8_t* stripe = call.w;
    const int64_t bytes = int64_t{call.k / kLayout.unit} * kLayout.unit_bytes();
    for (int32_t j = 0; j < n; j += kStripeRows, stripe += bytes) {
        const int32_t columns = n - j < kStripeRows ? n - j : kStripeRows;
        matmul_rows<V, B, kLayout>(call, m, stripe, call.y + j, columns);
    }
}

template <typename V, typename B>
void block_matmul(BlockFormat format, int32_t m, int32_t n, int32_t k, const float* x,
                  const uint8_t* w, float* y, int64_t y_stride) noexcept {
    matmul_format<V, B, 0>(format, {k, x, w, y, y_stride}, m, n);
}

// Lane `lane` of a stripe. Looking a row up touches one byte in sixteen, so the bytes are not worth
// vectors.
template <typename V, BlockLayout L>
inline void stripe_row(int32_t k, const uint8_t* stripe, int64_t lane, float* y) {
    for (int32_t t = 0; t < k; t += L.unit, stripe += L.unit_bytes()) {
        const BlockUnit<V, L> unit(stripe);
        for (int32_t g = 0; g < L.groups(); ++g) {
            float factor[kStripeRows];
            float offset[kStripeRows];
            unit.factor(g).store(factor);
            unit.offset(g).store(offset);
            for (int32_t c = g * L.group; c < (g + 1) * L.group; ++c) {
                const uint8_t* tile = unit.codes(c / kTileColumns);
                const int32_t column = L.code_bits == 8 ? c % 32 : c % 16;
                const int32_t byte = tile[column / 4 * kQuadBytes + lane * 4 + column % 4];
                const int32_t code = L.code_bits == 8 ? byte : c % 32 < 16 ? byte & 15 : byte >> 4;
                const float product = factor[lane] * static_cast<float>(code - L.bias);
                *y++ = L.has_offsets ? product + offset[lane] : product;
            }
        }
    }
}

template <typename V, int kFormat>
inline void row_format(BlockFormat format, int32_t k, const uint8_t* w, int64_t j, float* y) {
    if (static_cast<int>(format) != kFormat) {
        if constexpr (kFormat + 1 < kBlockFormats) row_format<V, kFormat + 1>(format, k, w, j, y);
        return;
    }
    constexpr BlockLayout kLayout = kBlockLayouts[kFormat];
    const int64_t bytes = int64_t{k / kLayout.unit} * kLayout.unit_bytes();
    stripe_row<V, kLayout>(k, w + j / kStripeRows * bytes, j % kStripeRows, y);
}

template <typename V>
void block_row(BlockFormat format, int32_t k, const uint8_t* w, int64_t j, float* y) noexcept {
    row_format<V, 0>(format, k, w, j, y);
}

}  // namespace bitnetd::kernels::lanes
