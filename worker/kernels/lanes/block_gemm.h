// Products of packed matrices with int8 activations, written once. A tile of codes is read into
// registers and used for up to B::kRows activation rows; lane = output row, so that a row's sum is
// the same whatever rows are beside it. The contract is in kernel_api.h.
#pragma once

#include <cstdint>

#include "worker/kernels/lanes/block_tile.h"
#include "worker/kernels/lanes/rows.h"

namespace bitnetd::kernels::lanes {

template <typename V>
void quantise_blocks(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q, float* d,
                     int32_t* q_sum) noexcept {
    for (int64_t i = 0; i < m; ++i) {
        const float* row = x + i * x_stride;
        for (int32_t t = 0; t < k; t += kTileColumns) {
            const V value[2] = {V::load(row + t), V::load(row + t + 16)};
            const float largest = V::max(value[0].magnitude(), value[1].magnitude()).largest();
            const V nothing = V::zero();
            const float seen = (value[0] * nothing + value[1] * nothing).total();  // 0, or NaN
            const bool none = largest < kBlockFloor;
            *d++ = (none ? 0.0f : largest / 127.0f) + seen;
            const V scale = V::all(none ? 0.0f : 127.0f / largest);
            for (const V& half : value) {
                const typename V::Int whole = quantised(half, scale);
                whole.store_int8(q);
                *q_sum++ = whole.total();
                q += 16;
            }
        }
    }
}

struct BlockGemmCall {
    int32_t k;
    const int8_t* q;
    const float* d;
    const int32_t* q_sum;
    const uint8_t* w;
    float* y;
    int64_t y_stride;
};

// Activation row i from column t on.
struct QuantisedAt {
    const int8_t* q;
    const float* d;
    const int32_t* q_sum;

    QuantisedAt(const BlockGemmCall& call, int64_t i, int64_t t)
        : q(call.q + i * call.k + t),
          d(call.d + (i * call.k + t) / kTileColumns),
          q_sum(call.q_sum + (i * call.k + t) / 16) {}
};

// acc += the products of one group of a tile's columns with one activation row.
template <typename V, typename B, BlockLayout L>
inline V add_group(V acc, const typename B::Codes* quad, int32_t group, V factor, V offset,
                   const QuantisedAt& x) {
    const int32_t sum = L.group == 32 ? x.q_sum[0] + x.q_sum[1] : x.q_sum[group];
    const V dot = V::from(B::template dot<L>(quad, x.q + group * L.group, sum));
    const V scale = V::all(*x.d);
    acc = V::fma(dot, factor * scale, acc);
    if constexpr (L.has_offsets) {
        acc = V::fma(V::all(static_cast<float>(sum)), offset * scale, acc);
    }
    return acc;
}

// Rows i..i+M-1 by the 16 columns of one stripe.
template <typename V, typename B, BlockLayout L, int M>
inline void gemm_stripe(const BlockGemmCall& call, int64_t i, const uint8_t* stripe, float* y,
                        int32_t columns) {
    using Unit = BlockUnit<V, L>;
    V acc[M];
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r)
        acc[r] = V::zero();
    for (int64_t t = 0; t < call.k; t += L.unit, stripe += L.unit_bytes()) {
        const Unit unit(stripe);
        for (int32_t tile = 0; tile < Unit::kTiles; ++tile) {
            unit.prefetch(tile);
            typename B::Codes quad[kTileQuads];
            load_tile<B, L>(unit.codes(tile), quad);
#pragma GCC unroll 2
            for (int32_t g = 0; g < Unit::kTileGroups; ++g) {
                const V factor = unit.factor(tile * Unit::kTileGroups + g);
                const V offset = unit.offset(tile * Unit::kTileGroups + g);
#pragma GCC unroll 8
                for (int r = 0; r < M; ++r) {
                    const QuantisedAt x(call, i + r, t + tile * kTileColumns);
                    acc[r] =
                        add_group<V, B, L>(acc[r], quad + g * L.group / 4, g, factor, offset, x);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < M; ++r)
        acc[r].store(y + r * call.y_stride, columns);
}

// All m rows by one stripe, as many at a time as there are registers for.
template <typename V, typename B, BlockLayout L>
inline void gemm_rows(const BlockGemmCall& call, int32_t m, const uint8_t* stripe, float* y,
                      int32_t columns) {
    int64_t i = 0;
    const auto rows = [&]<int M>() {
        gemm_stripe<V, B, L, M>(call, i, stripe, y + i * call.y_stride, columns);
        i += M;
    };
    while (i + B::kRows <= m)
        rows.template operator()<B::kRows>();
    if (B::kRows > 4 && i + 4 <= m) rows.template operator()<4>();
    if (i + 2 <= m) rows.template operator()<2>();
    if (i < m) rows.template operator()<1>();
}

template <typename V, typename B, int kFormat>
inline void gemm_format(BlockFormat format, const BlockGemmCall& call, int32_t m, int32_t n) {
    if (static_cast<int>(format) != kFormat) {
        if constexpr (kFormat + 1 < kBlockFormats)
            gemm_format<V, B, kFormat + 1>(format, call, m, n);
        return;
    }
    constexpr BlockLayout kLayout = kBlockLayouts[kFormat];
    const uint8_t* stripe = call.w;
    const int64_t bytes = int64_t{call.k / kLayout.unit} * kLayout.unit_bytes();
    for (int32_t j = 0; j < n; j += kStripeRows, stripe += bytes) {
        const int32_t columns = n - j < kStripeRows ? n - j : kStripeRows;
        gemm_rows<V, B, kLayout>(call, m, stripe, call.y + j, columns);
    }
}

template <typename V, typename B>
void block_gemm(BlockFormat format, int32_t m, int32_t n, int32_t k, const int8_t* q,
                const float* d, const int32_t* q_sum, const uint8_t* w, float* y,
                int64_t y_stride) noexcept {
    gemm_format<V, B, 0>(format, {k, q, d, q_sum, w, y, y_stride}, m, n);
}

}  // namespace bitnetd::kernels::lanes
