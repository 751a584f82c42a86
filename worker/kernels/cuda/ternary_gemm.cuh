// Ternary products with many rows of activations, on the int8 tensor cores.
//   w  [n][k] in tiles (layout.h)    x  int8 [m][ternary_padded(k)]    y  float [m][n]
//
// A block makes kBlockRows rows of w times kBlockValues rows of x, 128 columns of both at a time.
// Both come by asynchronous copies into kStages buffers of shared memory; codes are widened in
// registers on their way to the tensor cores, once for all rows of x that a warp has. A warp makes
// 64 x 32 of the block, or 32 x 32 of the small one: 7 instructions widen 16 codes a lane for
// 4 products of 16 x 8 x 32, or some 0.45 of the time that the products take on an A100.
// Chunks of 16 bytes of x are swapped in odd rows, so that the eight lanes that read at once meet
// eight different parts of the banks.
//
// 2 m n k operations: bound by the tensor cores where m n fills the device with blocks; the small
// block is for where it does not. Shared memory is three times 20 KB, or three times 10, so that it
// fits sm_75 (64 KB) too, whose copies are not asynchronous. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/ternary_tile.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kTernaryGemmThreads = 256;
inline constexpr int32_t kTernaryGemmStages = 3;
inline constexpr int32_t kTernaryGemmBlocks = 2;  // on a multiprocessor: 128 registers a thread

// The parts of a block's work. Warps lie [kWarpsAlongValues][kWarpsAlongRows].
template <int kRows, int kValues, int kAlongRows>
struct TernaryBlock {
    static constexpr int32_t kBlockRows = kRows;      // of w
    static constexpr int32_t kBlockValues = kValues;  // rows of x
    static constexpr int32_t kWarpsAlongRows = kAlongRows;
    static constexpr int32_t kWarpsAlongValues = kTernaryGemmThreads / kWarp / kAlongRows;
    static constexpr int32_t kGroups = kRows / kTileRows / kWarpsAlongRows;         // of a warp
    static constexpr int32_t kColumns = kValues / kColumnRows / kWarpsAlongValues;  // of a warp
    static constexpr int32_t kCodesBytes = kRows / kTileRows * kTernaryTileBytes;
    static constexpr int32_t kStageBytes = kCodesBytes + kValues * kTernaryTileColumns;
    static constexpr int32_t kSharedBytes = kTernaryGemmStages * kStageBytes;
};
using LargeTernaryBlock = TernaryBlock<128, 128, 2>;
using SmallTernaryBlock = TernaryBlock<64, 64, 2>;

inline constexpr int32_t kChunk = static_cast<int32_t>(sizeof(Words));
inline constexpr int32_t kRowChunks = kTernaryTileColumns / kChunk;

// Where a chunk of a row of x lies in its stage.
BITNETD_DEVICE int32_t chunk_at(int32_t row, int32_t chunk) {
    return row * kTernaryTileColumns + (chunk ^ (row & 1)) * kChunk;
}

// Starts the copies of one stage: tile `tile` of the block's rows of w, and its columns of x.
template <typename Block>
BITNETD_DEVICE void start_stage(std::byte* stage, const Matrix& w, const Rounded& x, int32_t m,
                                int32_t tile) {
    constexpr int32_t kTileChunks = kTernaryTileBytes / kChunk;
    const int64_t tiles = ternary_tiles(w.columns);
    const int64_t first_group = int64_t{block_x()} * (Block::kBlockRows / kTileRows);
    const int64_t groups = divided_up(w.rows, kTileRows);
    for (int32_t at = thread_index(); at < Block::kCodesBytes / kChunk; at += kTernaryGemmThreads) {
        const int64_t group = first_group + at / kTileChunks;
        copy_async(stage + at * kChunk,
                   w.data + (group * tiles + tile) * kTernaryTileBytes + at % kTileChunks * kChunk,
                   group < groups);
    }
    const int64_t first_i = int64_t{block_y()} * Block::kBlockValues;
    for (int32_t at = thread_index(); at < Block::kBlockValues * kRowChunks;
         at += kTernaryGemmThreads) {
        const int32_t row = at / kRowChunks;
        const int32_t chunk = at % kRowChunks;
        copy_async(
            stage + Block::kCodesBytes + chunk_at(row, chunk),
            x.values + ((first_i + row) * tiles + tile) * kTernaryTileColumns + chunk * kChunk,
            first_i + row < m);
    }
}

// sums += half the columns of what lies in a stage.
template <typename Block, int kHalf>
BITNETD_DEVICE void multiply_stage_half(int32_t (&sums)[Block::kGroups][Block::kColumns][4],
                                        const Words (&codes)[Block::kGroups],
                                        const std::byte* stage_values) {
    const int32_t first_row =
        warp_index() / Block::kWarpsAlongRows * Block::kColumns * kColumnRows + lane_index() / 4;
    const int32_t chunk = lane_index() % 4 * 2 + kHalf;
    Words values[Block::kColumns];
    BITNETD_UNROLL
    for (int32_t column = 0; column < Block::kColumns; ++column) {
        values[column] = *reinterpret_cast<const Words*>(
            stage_values + chunk_at(first_row + column * kColumnRows, chunk));
    }
    BITNETD_UNROLL
    for (int32_t group = 0; group < Block::kGroups; ++group)
        multiply_half<kHalf>(sums[group], codes[group], values);
}

template <typename Block>
BITNETD_DEVICE void multiply_stage(int32_t (&sums)[Block::kGroups][Block::kColumns][4],
                                   const std::byte* stage) {
    const int32_t first_group = warp_index() % Block::kWarpsAlongRows * Block::kGroups;
    Words codes[Block::kGroups];
    BITNETD_UNROLL
    for (int32_t group = 0; group < Block::kGroups; ++group) {
        codes[group] = *reinterpret_cast<const Words*>(
            stage + (first_group + group) * kTernaryTileBytes + lane_index() * kChunk);
    }
    multiply_stage_half<Block, 0>(sums, codes, stage + Block::kCodesBytes);
    multiply_stage_half<Block, 1>(sums, codes, stage + Block::kCodesBytes);
}

template <typename Block>
BITNETD_DEVICE void finish_block(const int32_t (&sums)[Block::kGroups][Block::kColumns][4],
                                 int32_t m, const Product& product, const Rounded& x, Store store) {
    const int32_t along_rows = warp_index() % Block::kWarpsAlongRows;
    const int32_t along_values = warp_index() / Block::kWarpsAlongRows;
    const int64_t first_j = int64_t{block_x()} * Block::kBlockRows +
                            along_rows * Block::kGroups * kTileRows + lane_index() / 4;
    const int64_t first_i = int64_t{block_y()} * Block::kBlockValues +
                            along_values * Block::kColumns * kColumnRows + lane_index() % 4 * 2;
    BITNETD_UNROLL
    for (int32_t column = 0; column < Block::kColumns; ++column) {
        BITNETD_UNROLL
        for (int32_t group = 0; group < Block::kGroups; ++group) {
            BITNETD_UNROLL
            for (int32_t s = 0; s < 4; ++s) {
                const int64_t i = first_i + column * kColumnRows + s % 2;
                const int64_t j = first_j + group * kTileRows + s / 2 * 8;
                if (i < m && j < product.w.rows)
                    finish_ternary(product, x, store, i, j, sums[group][column][s]);
            }
        }
    }
}

template <typename Block>
BITNETD_KERNEL(kTernaryGemmThreads, kTernaryGemmBlocks)
void ternary_gemm_kernel(int32_t m, BITNETD_IN_PLACE Products products, Rounded x, Store store) {
    const Product& product = product_of(products);
    if (int64_t{block_x()} * Block::kBlockRows >= product.w.rows) return;
    wait_for_earlier_launches();
    const int32_t tiles = ternary_tiles(product.w.columns);
    std::byte* const stages = dynamic_shared();
    const auto start = [&](int32_t tile) {
        if (tile < tiles) {
            start_stage<Block>(stages + tile % kTernaryGemmStages * Block::kStageBytes, product.w,
                               x, m, tile);
        }
        copy_commit();  // an empty group where there is no tile, so that counts stay
    };
    for (int32_t tile = 0; tile < kTernaryGemmStages - 1; ++tile)
        start(tile);
    int32_t sums[Block::kGroups][Block::kColumns][4] = {};
    for (int32_t tile = 0; tile < tiles; ++tile) {
        copy_wait<kTernaryGemmStages - 2>();
        block_barrier();  // this tile is there for all, and nobody reads the one before it
        start(tile + kTernaryGemmStages - 1);
        multiply_stage<Block>(sums, stages + tile % kTernaryGemmStages * Block::kStageBytes);
    }
    finish_block<Block>(sums, m, product, x, store);
}

template <typename Block>
void put_ternary_gemm(Stream stream, int32_t m, std::span<const Product> products, const Rounded& x,
                      Store store) {
    launch(stream, product_grid(products, Block::kBlockRows, m, Block::kBlockValues),
           kTernaryGemmThreads, Block::kSharedBytes, ternary_gemm_kernel<Block>, m,
           copy_of(products), x, store);
}

void multiply_ternary_gemm(Stream stream, int32_t m, std::span<const Product> products,
                           const Rounded& x, Store store) {
    constexpr int64_t kEnoughBlocks = 128;  // about the multiprocessors of a large device
    int64_t blocks = 0;
    for (const Product& product : products)
        blocks += divided_up(product.w.rows, LargeTernaryBlock::kBlockRows);
    if (blocks * divided_up(m, LargeTernaryBlock::kBlockValues) >= kEnoughBlocks) {
        put_ternary_gemm<LargeTernaryBlock>(stream, m, products, x, store);
    } else {
        put_ternary_gemm<SmallTernaryBlock>(stream, m, products, x, store);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
