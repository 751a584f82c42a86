// Products of block matrices with few rounded rows (BlockGemm of kernel_api.h): sums of a group as
// exact integers, then fma in the order of the groups.
//
// A block takes one stripe, its half warps tiles of 32 columns side by side, so that all of its
// loads are on the way at once; the integer sums and the factors go to shared memory, where one
// thread for each row and output adds them up in order.
//   w              read once from memory for kRows rows of x, again from the second cache for more
//   shared memory  64 groups x 16 x (kRows + 2) floats = 40 KiB of 8 rows and groups of 16
// Bound by memory: 4.5 to 9 bits for 2 kRows operations. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/block_codes.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kBlockRowsThreads = 256;
inline constexpr int32_t kBlockRowsChunk = 32;  // tiles at a time
inline constexpr int32_t kHalfWarps = kBlockRowsThreads / kStripeRows;
inline constexpr int32_t kBlockRowsMax = 8;  // rows of x of a block

// What a chunk's groups are for the sums.
template <int kRows, int kGroups>
struct GroupTerms {
    float dot[kGroups][kRows][kStripeRows];
    float factor[kGroups][kStripeRows];
    float offset[kGroups][kStripeRows];
};

// One row of x over one tile.
struct RoundedTile {
    uint32_t word[kTileQuads];

    BITNETD_DEVICE explicit RoundedTile(const int8_t* q) {
        BITNETD_UNROLL
        for (int32_t i = 0; i < kTileQuads; i += 4) {
            const Words words = *reinterpret_cast<const Words*>(q + 4 * i);
            BITNETD_UNROLL
            for (int32_t l = 0; l < 4; ++l)
                word[i + l] = words.word[l];
        }
    }
};

// A thread's row of w over one tile with kRows rows of x, from first_i on.
template <int kBits, int kGroup, int kRows, int kChunkGroups>
BITNETD_DEVICE void add_tile(GroupTerms<kRows, kChunkGroups>& terms, const BlockForm& form,
                             const TileView<kBits, kGroup>& view, int32_t tile, int32_t in_chunk,
                             const RoundedRows& x, int32_t tiles, int64_t first_i, int64_t m) {
    constexpr int32_t kGroups = TileView<kBits, kGroup>::kGroups;
    constexpr int32_t kQuads = kGroup / 4;
    const int32_t row = thread_index() % kStripeRows;
    const TileCodes<kBits> codes = view.codes(row);
    BITNETD_UNROLL
    for (int32_t g = 0; g < kGroups; ++g) {
        terms.factor[in_chunk * kGroups + g][row] = view.factor(g, row);
        terms.offset[in_chunk * kGroups + g][row] = view.offset(g, row);
    }
    for (int32_t i = 0; i < kRows; ++i) {
        const int64_t at = first_i + i < m ? first_i + i : m - 1;
        const RoundedTile q(x.q + (at * tiles + tile) * kTileColumns);
        BITNETD_UNROLL
        for (int32_t g = 0; g < kGroups; ++g) {
            int32_t dot = 0;
            BITNETD_UNROLL
            for (int32_t quad = g * kQuads; quad < (g + 1) * kQuads; ++quad)
                dot = dot_4(codes.quad(quad) ^ form.flip, q.word[quad], dot);
            dot -= form.bias * x.sum(at, tiles, tile, g, kGroups);
            terms.dot[in_chunk * kGroups + g][i][row] = static_cast<float>(dot);
        }
    }
}

template <int kBits, int kGroup, int kRows>
BITNETD_KERNEL(kBlockRowsThreads)
void block_rows_kernel(int32_t m, BITNETD_IN_PLACE Products products, BlockForm form, RoundedRows x,
                       Finish how) {
    using View = TileView<kBits, kGroup>;
    BITNETD_SHARED GroupTerms<kRows, kBlockRowsChunk * View::kGroups> terms;
    const Product& product = product_of(products);
    if (block_x() * kStripeRows >= product.w.rows) return;
    const std::byte* const stripe = stripe_of(product.w, form, block_x());
    const int32_t tiles = product.w.columns / kTileColumns;
    const int64_t first_i = int64_t{block_y()} * kRows;
    const int32_t half_warp = thread_index() / kStripeRows;

    wait_for_earlier_launches();
    // Of the thread that adds up: its row of x and of w.
    const bool adds_up = half_warp < kRows && first_i + half_warp < m;
    const int64_t i = first_i + half_warp;
    const int32_t row = thread_index() % kStripeRows;
    float acc = 0.0f;
    for (int32_t begin = 0; begin < tiles; begin += kBlockRowsChunk) {
        const int32_t count = tiles - begin < kBlockRowsChunk ? tiles - begin : kBlockRowsChunk;
        block_barrier();  // the terms before are added up
        BITNETD_UNROLL
        for (int32_t turn = 0; turn < kBlockRowsChunk; turn += kHalfWarps) {
            const int32_t in_chunk = turn + half_warp;
            if (in_chunk >= count) continue;
            add_tile(terms, form, View(form, stripe, begin + in_chunk), begin + in_chunk, in_chunk,
                     x, tiles, first_i, m);
        }
        block_barrier();
        if (!adds_up) continue;
        for (int32_t term = 0; term < count * View::kGroups; ++term) {
            const int32_t tile = begin + term / View::kGroups;
            const float d = x.d[i * tiles + tile];
            acc = fma(terms.dot[term][half_warp][row], terms.factor[term][row] * d, acc);
            if (!form.has_offsets) continue;
            const int32_t sum = x.sum(i, tiles, tile, term % View::kGroups, View::kGroups);
            acc = fma(static_cast<float>(sum), terms.offset[term][row] * d, acc);
        }
    }
    const int64_t j = int64_t{block_x()} * kStripeRows + row;
    if (adds_up && j < product.w.rows) finish(product, how, i, j, acc);
}

// Matrices of one format.
void multiply_block_rows(Stream stream, int32_t m, std::span<const Product> products,
                         const RoundedRows& x, const Finish& how) {
    const BlockFormat format = products[0].w.block_format;
    const Products copy = copy_of(products);
    with_form(format, [&]<int kBits, int kGroup>() {
        const auto put = [&]<int kRows>() {
            launch(stream, product_grid(products, kStripeRows, m, kRows), kBlockRowsThreads, 0,
                   block_rows_kernel<kBits, kGroup, kRows>, m, copy, form_of(format), x, how);
        };
        if (m == 1) {
            put.template operator()<1>();
        } else {
            put.template operator()<kBlockRowsMax>();
        }
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
