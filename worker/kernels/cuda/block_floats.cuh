// Products of block matrices with the floats themselves (BlockMatmul of kernel_api.h): y[i][j] =
// (s[0] + s[1]) + (s[2] + s[3]) with s[t % 4] = fma(x[i][t], value[j][t], s[t % 4]) in order of t.
// A thread is a row of w and keeps four sums for each of kRows rows of x.
//   w  read once from memory for kRows rows of x, a tile ahead; again from the second cache for
//      more
//   x  float [m][k], the same for all threads of a block: from the first cache
// Bound by decoding, 3 operations a weight beside the fma. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/block_codes.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kBlockFloatsThreads = 128;

struct alignas(16) Floats {
    float value[4];
};

// The columns of one tile, in order.
template <int kBits, int kGroup, int kRows>
BITNETD_DEVICE void add_values(float (&sum)[kRows][4], const BlockForm& form,
                               const TileView<kBits, kGroup>& view, const TileCodes<kBits>& codes,
                               int32_t row, const float* const (&x)[kRows], int64_t t) {
    constexpr int32_t kQuads = kGroup / 4;
    BITNETD_UNROLL
    for (int32_t g = 0; g < kTileColumns / kGroup; ++g) {
        const float factor = view.factor(g, row);
        const float offset = view.offset(g, row);
        BITNETD_UNROLL
        for (int32_t quad = g * kQuads; quad < (g + 1) * kQuads; ++quad) {
            Floats weight;
            BITNETD_UNROLL
            for (int32_t c = 0; c < 4; ++c) {
                const auto code = static_cast<int32_t>(codes.quad(quad) >> 8 * c & 0xff);
                const float product = factor * static_cast<float>(code - form.stored_bias);
                weight.value[c] = form.has_offsets ? product + offset : product;
            }
            BITNETD_UNROLL
            for (int i = 0; i < kRows; ++i) {
                const Floats value = *reinterpret_cast<const Floats*>(x[i] + t + 4 * quad);
                BITNETD_UNROLL
                for (int32_t c = 0; c < 4; ++c)
                    sum[i][c] = fma(value.value[c], weight.value[c], sum[i][c]);
            }
        }
    }
}

template <int kBits, int kGroup, int kRows>
BITNETD_KERNEL(kBlockFloatsThreads)
void block_floats_kernel(int32_t m, BITNETD_IN_PLACE Products products, BlockForm form,
                         const float* x, Finish how) {
    using View = TileView<kBits, kGroup>;
    const Product& product = product_of(products);
    const int64_t n = product.w.rows;
    const int64_t k = product.w.columns;
    const int64_t j = int64_t{block_x()} * kBlockFloatsThreads + thread_index();
    if (j >= n) return;
    const std::byte* const w = stripe_of(product.w, form, static_cast<int32_t>(j / kStripeRows));
    const auto row = static_cast<int32_t>(j % kStripeRows);
    const auto tiles = static_cast<int32_t>(k / kTileColumns);
    const int64_t first_i = int64_t{block_y()} * kRows;
    const float* rows[kRows];
    for (int i = 0; i < kRows; ++i)
        rows[i] = x + (first_i + i < m ? first_i + i : m - 1) * k;

    wait_for_earlier_launches();
    float sum[kRows][4] = {};
    TileCodes<kBits> next = View(form, w, 0).codes(row);
    for (int32_t tile = 0; tile < tiles; ++tile) {
        const TileCodes<kBits> codes = next;
        if (tile + 1 < tiles) next = View(form, w, tile + 1).codes(row);
        add_values(sum, form, View(form, w, tile), codes, row, rows, int64_t{tile} * kTileColumns);
    }
    BITNETD_UNROLL
    for (int i = 0; i < kRows; ++i) {
        if (first_i + i >= m) continue;
        finish(product, how, first_i + i, j, (sum[i][0] + sum[i][1]) + (sum[i][2] + sum[i][3]));
    }
}

// Matrices of one format.
void multiply_block_floats(Stream stream, int32_t m, std::span<const Product> products,
                           const float* x, const Finish& how) {
    const BlockFormat format = products[0].w.block_format;
    const Products copy = copy_of(products);
    with_form(format, [&]<int kBits, int kGroup>() {
        const auto put = [&]<int kRows>() {
            launch(stream, product_grid(products, kBlockFloatsThreads, m, kRows),
                   kBlockFloatsThreads, 0, block_floats_kernel<kBits, kGroup, kRows>, m, copy,
                   form_of(format), x, how);
        };
        if (m == 1) {
            put.template operator()<1>();
        } else {
            put.template operator()<4>();
        }
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
