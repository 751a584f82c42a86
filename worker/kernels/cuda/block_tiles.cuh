// Products of block matrices with many rounded rows, as block_rows.cuh defines them, on the int8
// tensor cores. A warp takes 32 rows of x and one stripe of w: the words of a packed tile are the
// tensor cores' operand as they lie, so nothing is unpacked but nibbles. After each group of 32
// columns (or of 16: then the other half of the operand is zero) 16 sums a thread are converted,
// scaled and added in order.
//   block      2 x 2 warps: 64 rows of x, 32 rows of w, through the first cache
//   registers  16 sums + 16 products + 8 words of x + 4 of w
// Bound by that arithmetic between products: some 80 instructions for 16384 multiply-adds, a fifth
// of what the tensor cores could do. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/block_codes.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kBlockTilesThreads = 128;
inline constexpr int32_t kBlockTilesRows = 64;     // of x
inline constexpr int32_t kBlockTilesOutputs = 32;  // rows of w
inline constexpr int32_t kWarpRows = 32;           // two operands of 16

// 32 columns of the warp's rows of x, as a thread holds them: rows g, g + 8, g + 16, g + 24.
struct InputTile {
    uint32_t a[2][4];
    float d[4];
    int32_t sum[4][2];  // of 16 columns each

    BITNETD_DEVICE InputTile(const RoundedRows& x, const int64_t (&rows)[4], int32_t tiles,
                             int32_t tile) {
        BITNETD_UNROLL
        for (int r = 0; r < 4; ++r) {
            const int64_t at = rows[r] * tiles + tile;
            const auto* words = reinterpret_cast<const uint32_t*>(x.q + at * kTileColumns);
            a[r / 2][r % 2] = words[lane_index() % 4];
            a[r / 2][r % 2 + 2] = words[4 + lane_index() % 4];
            d[r] = x.d[at];
            sum[r][0] = x.q_sum[2 * at];
            sum[r][1] = x.q_sum[2 * at + 1];
        }
    }
};

// A thread's sums: of its four rows of x with rows 2t, 2t + 1, 8 + 2t, 9 + 2t of the stripe.
struct TileSums {
    float acc[4][4] = {};
};

template <int kBits, int kGroup>
class WarpTile {
  public:
    using View = TileView<kBits, kGroup>;

    BITNETD_DEVICE WarpTile(const BlockForm& form, const View& view) : form_(form), view_(view) {
        const int32_t g = lane_index() / 4;
        const int32_t t = lane_index() % 4;
        BITNETD_UNROLL
        for (int h = 0; h < 2; ++h) {
            const uint32_t* const words = view.words() + h * 8 + g;
            if constexpr (kBits == 8) {
                b_[h][0] = words[t * kStripeRows] ^ form.flip;
                b_[h][1] = words[(4 + t) * kStripeRows] ^ form.flip;
            } else {
                const uint32_t both = words[t * kStripeRows];
                b_[h][0] = both & 0x0f0f0f0f;
                b_[h][1] = both >> 4 & 0x0f0f0f0f;
            }
        }
    }

    // Adds the products of one group of columns.
    BITNETD_DEVICE void add_group(TileSums& sums, const InputTile& x, int32_t group) const {
        float factor[4];
        float offset[4];
        BITNETD_UNROLL
        for (int c = 0; c < 4; ++c) {
            const int32_t row = c / 2 * 8 + lane_index() % 4 * 2 + c % 2;
            factor[c] = view_.factor(group, row);
            offset[c] = view_.offset(group, row);
        }
        BITNETD_UNROLL
        for (int f = 0; f < 2; ++f) {
            BITNETD_UNROLL
            for (int h = 0; h < 2; ++h) {
                int32_t dot[4] = {};
                multiply(dot, x.a[f], b_[h], group);
                BITNETD_UNROLL
                for (int s = 0; s < 4; ++s) {
                    const int r = 2 * f + s / 2;
                    const int c = 2 * h + s % 2;
                    const int32_t sum =
                        View::kGroups == 1 ? x.sum[r][0] + x.sum[r][1] : x.sum[r][group];
                    const auto exact = static_cast<float>(dot[s] - form_.bias * sum);
                    float& acc = sums.acc[r][c];
                    acc = fma(exact, factor[c] * x.d[r], acc);
                    if (form_.has_offsets)
                        acc = fma(static_cast<float>(sum), offset[c] * x.d[r], acc);
                }
            }
        }
    }

  private:
    static BITNETD_DEVICE void multiply(int32_t (&dot)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2], int32_t group) {
        if constexpr (View::kGroups == 1) {
            multiply_16x8x32(dot, a, b);
        } else {
            // Words 0 and 1 of a row of operands are the first 16 columns, 2 and 3 the others.
            const uint32_t first = group == 0 ? ~0u : 0u;
            const uint32_t half[4] = {a[0] & first, a[1] & first, a[2] & ~first, a[3] & ~first};
            multiply_16x8x32(dot, half, b);
        }
    }

    const BlockForm& form_;
    const View& view_;
    uint32_t b_[2][2];
};

template <int kBits, int kGroup>
BITNETD_KERNEL(kBlockTilesThreads)
void block_tiles_kernel(int32_t m, BITNETD_IN_PLACE Products products, BlockForm form,
                        RoundedRows x, Finish how) {
    const Product& product = product_of(products);
    const int32_t n = product.w.rows;
    if (block_x() * kBlockTilesOutputs >= n) return;
    const int32_t stripe = block_x() * 2 + warp_index() % 2;
    const std::byte* const w = stripe_of(product.w, form, stripe);
    const int32_t tiles = product.w.columns / kTileColumns;
    const int64_t first_i =
        int64_t{block_y()} * kBlockTilesRows + warp_index() / 2 * kWarpRows + lane_index() / 4;
    // Rows beyond the last one are computed as the last one, and not stored.
    int64_t rows[4];
    for (int r = 0; r < 4; ++r)
        rows[r] = first_i + 8 * r < m ? first_i + 8 * r : m - 1;

    wait_for_earlier_launches();
    TileSums sums;
    for (int32_t tile = 0; tile < tiles; ++tile) {
        const InputTile input(x, rows, tiles, tile);
        const TileView<kBits, kGroup> view(form, w, tile);
        const WarpTile<kBits, kGroup> weights(form, view);
        BITNETD_UNROLL
        for (int32_t group = 0; group < TileView<kBits, kGroup>::kGroups; ++group)
            weights.add_group(sums, input, group);
    }
    BITNETD_UNROLL
    for (int r = 0; r < 4; ++r) {
        BITNETD_UNROLL
        for (int c = 0; c < 4; ++c) {
            const int32_t j = stripe * kStripeRows + c / 2 * 8 + lane_index() % 4 * 2 + c % 2;
            if (first_i + 8 * r < m && j < n)
                finish(product, how, first_i + 8 * r, j, sums.acc[r][c]);
        }
    }
}

// Matrices of one format.
void multiply_block_tiles(Stream stream, int32_t m, std::span<const Product> products,
                          const RoundedRows& x, const Finish& how) {
    const BlockFormat format = products[0].w.block_format;
    const Products copy = copy_of(products);
    with_form(format, [&]<int kBits, int kGroup>() {
        launch(stream, product_grid(products, kBlockTilesOutputs, m, kBlockTilesRows),
               kBlockTilesThreads, 0, block_tiles_kernel<kBits, kGroup>, m, copy, form_of(format),
               x, how);
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
