// Ternary products with few rows of activations: the weights are read once, as fast as memory
// gives them.
//   w  [n][k] in tiles (layout.h)    x  int8 [m][ternary_padded(k)]    y  float [m][n]
//
// A block makes 16 rows of w times 8 kColumns rows of x; its warps share the tiles along k, and
// their sums meet in shared memory. They are whole numbers, so the order does not matter.
// Everything runs on the int8 tensor cores, for one row of x too: codes have to be widened anyway
// (7 instructions for 16), and after that four products of 128 codes a lane cost fewer
// instructions than the 16 dp4a in their place. Idle columns of a product cost nothing.
//
// Bound by memory: k n / 4 bytes of w for 2 m k n operations. For the 3.3 TB/s of an H100, at some
// 600 ns from asking to getting, 15 KB must be on their way to each multiprocessor: a warp asks for
// kAhead tiles, 2 KB, before it needs the first, and the first ones before the launch that makes x
// has ended. From 8 kColumns rows on, w is read again from the second cache. Not measured on a
// device yet.
#pragma once

#include "worker/kernels/cuda/ternary_tile.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kTernaryRowsThreads = 256;
inline constexpr int32_t kTernaryRowsColumnsMax = 4;

// The sums of all warps, [warp][row of x][row of w], added up and finished.
template <int kColumns>
BITNETD_DEVICE void add_warps(const int32_t (&sums)[kColumns][4], int32_t m, int64_t first_j,
                              const Product& product, const Rounded& x, Store store) {
    constexpr int32_t kSums = kColumns * kColumnRows * kTileRows;
    BITNETD_SHARED int32_t of_warp[kTernaryRowsThreads / kWarp][kSums];
    const int32_t g = lane_index() / 4;
    const int32_t t = lane_index() % 4;
    BITNETD_UNROLL
    for (int32_t column = 0; column < kColumns; ++column) {
        BITNETD_UNROLL
        for (int32_t i = 0; i < 4; ++i) {
            const int32_t row = column * kColumnRows + 2 * t + i % 2;
            of_warp[warp_index()][row * kTileRows + g + i / 2 * 8] = sums[column][i];
        }
    }
    block_barrier();
    const int64_t first_i = int64_t{block_y()} * (kColumns * kColumnRows);
    for (int32_t at = thread_index(); at < kSums; at += thread_count()) {
        const int64_t i = first_i + at / kTileRows;
        const int64_t j = first_j + at % kTileRows;
        if (i >= m || j >= product.w.rows) continue;
        int32_t sum = 0;
        for (int32_t warp = 0; warp < thread_count() / kWarp; ++warp)
            sum += of_warp[warp][at];
        finish_ternary(product, x, store, i, j, sum);
    }
}

// sums += half the columns of a tile. `rows`: this lane's part of each row, null beyond the last.
template <int kHalf, int kColumns>
BITNETD_DEVICE void multiply_values(int32_t (&sums)[kColumns][4], const Words& codes,
                                    const int8_t* const (&rows)[kColumns], int32_t tile) {
    Words values[kColumns] = {};
    BITNETD_UNROLL
    for (int32_t column = 0; column < kColumns; ++column) {
        if (rows[column] == nullptr) continue;
        values[column] =
            *reinterpret_cast<const Words*>(rows[column] + tile * kTernaryTileColumns +
                                            kHalf * static_cast<int32_t>(sizeof(Words)));
    }
    multiply_half<kHalf>(sums, codes, values);
}

template <int kColumns>
BITNETD_KERNEL(kTernaryRowsThreads)
void ternary_rows_kernel(int32_t m, BITNETD_IN_PLACE Products products, Rounded x, Store store) {
    constexpr int32_t kAhead = 4;
    const Product& product = product_of(products);
    const int64_t first_j = int64_t{block_x()} * kTileRows;
    if (first_j >= product.w.rows) return;
    const int32_t tiles = ternary_tiles(product.w.columns);
    const int32_t warps = thread_count() / kWarp;
    const std::byte* const lane = lane_tiles(product.w, block_x());
    Words codes[kAhead];
    BITNETD_UNROLL
    for (int32_t ahead = 0; ahead < kAhead; ++ahead) {
        const int32_t tile = warp_index() + ahead * warps;
        if (tile < tiles) codes[ahead] = load_once(lane + tile * kTernaryTileBytes);
    }
    wait_for_earlier_launches();

    // Rows beyond the last one are zero, as it is with one row for seven eighths of the lanes.
    const int8_t* rows[kColumns];
    BITNETD_UNROLL
    for (int32_t column = 0; column < kColumns; ++column) {
        const int64_t i = (int64_t{block_y()} * kColumns + column) * kColumnRows + lane_index() / 4;
        rows[column] =
            i < m ? x.values + i * tiles * kTernaryTileColumns + lane_index() % 4 * kLaneColumns
                  : nullptr;
    }
    int32_t sums[kColumns][4] = {};
    for (int32_t first = warp_index(); first < tiles; first += kAhead * warps) {
        BITNETD_UNROLL
        for (int32_t ahead = 0; ahead < kAhead; ++ahead) {
            const int32_t tile = first + ahead * warps;
            if (tile >= tiles) break;
            multiply_values<0>(sums, codes[ahead], rows, tile);
            multiply_values<1>(sums, codes[ahead], rows, tile);
            const int32_t next = tile + kAhead * warps;
            if (next < tiles) codes[ahead] = load_once(lane + next * kTernaryTileBytes);
        }
    }
    add_warps(sums, m, first_j, product, x, store);
}

template <int kColumns>
void put_ternary_rows(Stream stream, int32_t m, std::span<const Product> products, const Rounded& x,
                      Store store) {
    // With few tiles along k, fewer warps have several each.
    const bool is_short = ternary_tiles(products[0].w.columns) <= 32;
    launch(stream, product_grid(products, kTileRows, m, kColumns * kColumnRows),
           is_short ? kTernaryRowsThreads / 2 : kTernaryRowsThreads, 0,
           ternary_rows_kernel<kColumns>, m, copy_of(products), x, store);
}

void multiply_ternary_rows(Stream stream, int32_t m, std::span<const Product> products,
                           const Rounded& x, Store store) {
    if (m <= kColumnRows) {
        put_ternary_rows<1>(stream, m, products, x, store);
    } else if (m <= 2 * kColumnRows) {
        put_ternary_rows<2>(stream, m, products, x, store);
    } else {
        put_ternary_rows<kTernaryRowsColumnsMax>(stream, m, products, x, store);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
