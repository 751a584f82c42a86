// What both ternary products share: a lane's share of a tile (layout.h) times activations, and what
// becomes of a sum.
#pragma once

#include "worker/kernels/cuda/layout.h"
#include "worker/kernels/cuda/products.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kColumnRows = 8;    // rows of activations beside each other in a product
inline constexpr int32_t kLaneColumns = 32;  // of a tile, with one lane: two halves of 16 bytes

// sums += half a tile's columns * values: of each eight rows of activations a lane has one row's
// columns 32t + 16 half .. + 15 as operand b of two products.
template <int kHalf, int kColumns>
BITNETD_DEVICE void multiply_half(int32_t (&sums)[kColumns][4], const Words& codes,
                                  const Words (&values)[kColumns]) {
    BITNETD_UNROLL
    for (int32_t step = 0; step < 2; ++step) {
        uint32_t a[4];
        BITNETD_UNROLL
        for (int32_t i = 0; i < 4; ++i)
            a[i] = codes.word[i] >> 2 * (2 * kHalf + step) & 0x03030303u;
        BITNETD_UNROLL
        for (int32_t column = 0; column < kColumns; ++column) {
            const uint32_t b[2] = {values[column].word[2 * step],
                                   values[column].word[2 * step + 1]};
            multiply_16x8x32(sums[column], a, b);
        }
    }
}

// The tiles of 16 rows of a matrix, this lane's bytes of the first one.
BITNETD_DEVICE const std::byte* lane_tiles(const Matrix& w, int64_t group) {
    return w.data + group * ternary_tiles(w.columns) * kTernaryTileBytes +
           lane_index() * static_cast<int32_t>(sizeof(Words));
}

// Row i of the activations and row j of the matrix. The sum is of codes, each its weight + 1.
BITNETD_DEVICE void finish_ternary(const Product& product, const Rounded& x, Store store, int64_t i,
                                   int64_t j, int32_t sum) {
    const float value = static_cast<float>(sum - x.sums[i]) / x.scales[i] * product.w.scale;
    finish(product, {store, 0.0f}, i, j, value);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
