// Products of float matrices with many rows, as float_rows.cuh defines them. A block takes 32 rows
// of x and 32 rows of w through shared memory, 64 columns at a time; each half warp keeps 8 by 8
// sums, its threads one of the 16 lanes each.
//   shared memory  2 x 32 x 66 floats = 16.5 KiB
//   registers      64 sums + 16 operands + 16 values on their way to shared memory
// Bound by arithmetic: of 64 fma a thread loads 16 floats from shared memory, which is what a
// multiprocessor can load meanwhile. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/float_rows.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kFloatTilesThreads = 256;
inline constexpr int32_t kFloatTile = 32;         // rows of x, and of w, of a block
inline constexpr int32_t kFloatTileColumns = 64;  // at a time
inline constexpr int32_t kHalfTile = 8;           // rows of x, and of w, of a half warp
// So that the two half warps of a warp, eight rows apart, use different banks.
inline constexpr int32_t kFloatTileStride = kFloatTileColumns + 2;
inline constexpr int32_t kFloatTileLoads = kFloatTile * kFloatTileColumns / kFloatTilesThreads;

// The thread's part of a tile on its way: element e is row e * 4 + index / 64, column index % 64.
template <typename T>
struct TilePart {
    T value[kFloatTileLoads];

    BITNETD_DEVICE void load(const T* matrix, int64_t first, int64_t rows, int64_t begin,
                             int64_t k) {
        const int64_t t = begin + thread_index() % kFloatTileColumns;
        if (t >= k) return;
        BITNETD_UNROLL
        for (int e = 0; e < kFloatTileLoads; ++e) {
            const int64_t row = first + row_of(e);
            value[e] = matrix[(row < rows ? row : rows - 1) * k + t];
        }
    }
    BITNETD_DEVICE void store(float* tile) const {
        BITNETD_UNROLL
        for (int e = 0; e < kFloatTileLoads; ++e) {
            tile[row_of(e) * kFloatTileStride + thread_index() % kFloatTileColumns] =
                to_float(value[e]);
        }
    }

  private:
    static BITNETD_DEVICE int32_t row_of(int e) {
        return e * (kFloatTilesThreads / kFloatTileColumns) + thread_index() / kFloatTileColumns;
    }
};

// A lane's 64 sums over one step of 16 columns.
BITNETD_DEVICE void add_step(float (&sum)[kHalfTile * kHalfTile], const float* x, const float* w) {
    float value[kHalfTile];
    BITNETD_UNROLL
    for (int i = 0; i < kHalfTile; ++i)
        value[i] = x[i * kFloatTileStride];
    BITNETD_UNROLL
    for (int j = 0; j < kHalfTile; ++j) {
        const float weight = w[j * kFloatTileStride];
        BITNETD_UNROLL
        for (int i = 0; i < kHalfTile; ++i)
            sum[i * kHalfTile + j] = fma(value[i], weight, sum[i * kHalfTile + j]);
    }
}

// The tree over the lanes of each of 64 sums. At each level a thread gives away the half of the
// sums that its partner keeps, `kKept`; in the end lane l has sums 4l .. 4l + 3 in front.
template <int kKept = kHalfTile* kHalfTile / 2>
BITNETD_DEVICE void add_lanes(float (&sum)[kHalfTile * kHalfTile]) {
    constexpr int32_t kBits = kKept * kVirtualLanes / (kHalfTile * kHalfTile);
    const bool keeps_upper = (lane_index() & kBits) != 0;
    BITNETD_UNROLL
    for (int s = 0; s < kKept; ++s) {
        const float mine = keeps_upper ? sum[s + kKept] : sum[s];
        const float given = keeps_upper ? sum[s] : sum[s + kKept];
        sum[s] = mine + shuffle_xor(given, kBits);
    }
    if constexpr (kBits > 1) add_lanes<kKept / 2>(sum);
}

template <typename T>
BITNETD_KERNEL(kFloatTilesThreads)
void float_tiles_kernel(int32_t m, BITNETD_IN_PLACE Products products, const float* x, Finish how) {
    BITNETD_SHARED float x_tile[kFloatTile * kFloatTileStride];
    BITNETD_SHARED float w_tile[kFloatTile * kFloatTileStride];
    const Product& product = product_of(products);
    const auto* w = reinterpret_cast<const T*>(product.w.data);
    const int64_t n = product.w.rows;
    const int64_t k = product.w.columns;
    const int64_t first_j = int64_t{block_x()} * kFloatTile;
    if (first_j >= n) return;
    const int64_t first_i = int64_t{block_y()} * kFloatTile;
    const int32_t lane = thread_index() % kVirtualLanes;
    const int32_t half_warp = thread_index() / kVirtualLanes;
    const int32_t i_in_tile = half_warp / 4 * kHalfTile;
    const int32_t j_in_tile = half_warp % 4 * kHalfTile;
    const float* const my_x = x_tile + i_in_tile * kFloatTileStride + lane;
    const float* const my_w = w_tile + j_in_tile * kFloatTileStride + lane;

    wait_for_earlier_launches();
    float sum[kHalfTile * kHalfTile] = {};
    TilePart<float> x_part{};
    TilePart<T> w_part{};
    x_part.load(x, first_i, m, 0, k);
    w_part.load(w, first_j, n, 0, k);
    for (int64_t begin = 0; begin < k; begin += kFloatTileColumns) {
        block_barrier();  // the tile before is used up
        x_part.store(x_tile);
        w_part.store(w_tile);
        block_barrier();
        x_part.load(x, first_i, m, begin + kFloatTileColumns, k);
        w_part.load(w, first_j, n, begin + kFloatTileColumns, k);
        // Of the last step only the lanes that have a column.
        for (int32_t t = 0; t < kFloatTileColumns && begin + t + lane < k; t += kVirtualLanes)
            add_step(sum, my_x + t, my_w + t);
    }
    add_lanes(sum);
    const int64_t i = first_i + i_in_tile + lane / 2;
    const int64_t j = first_j + j_in_tile + lane % 2 * 4;
    BITNETD_UNROLL
    for (int s = 0; s < 4; ++s) {
        if (i < m && j + s < n) finish(product, how, i, j + s, sum[s]);
    }
}

template <typename T>
void multiply_float_tiles(Stream stream, int32_t m, std::span<const Product> products,
                          const float* x, const Finish& how) {
    launch(stream, product_grid(products, kFloatTile, m, kFloatTile), kFloatTilesThreads, 0,
           float_tiles_kernel<T>, m, copy_of(products), x, how);
}

// From so many rows on, w is read through tiles.
inline constexpr int32_t kFloatTilesFrom = 17;

template <typename T>
void multiply_floats_of(Stream stream, int32_t m, std::span<const Product> products, const float* x,
                        const Finish& how) {
    if (m < kFloatTilesFrom) {
        multiply_float_rows<T>(stream, m, products, x, how);
    } else {
        multiply_float_tiles<T>(stream, m, products, x, how);
    }
}

// Matrices of one of the float kinds.
void multiply_float_matrices(Stream stream, int32_t m, std::span<const Product> products,
                             const float* x, const Finish& how) {
    switch (products[0].w.kind) {
        case MatrixKind::kF32:
            return multiply_floats_of<float>(stream, m, products, x, how);
        case MatrixKind::kF16:
            return multiply_floats_of<uint16_t>(stream, m, products, x, how);
        case MatrixKind::kBf16:
            return multiply_floats_of<Bf16>(stream, m, products, x, how);
        case MatrixKind::kTernary:
        case MatrixKind::kBlocks:
            return;
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
