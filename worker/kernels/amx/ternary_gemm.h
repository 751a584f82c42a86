// The ternary product of many rows on tiles. T is the tile registers (tiles.h), D the TernaryDot
// whose kernels take the few rows.
//
//   codes        16 weight rows x 64 columns    one field of a packed block is one row of a tile
//   activations  64 columns x 16 rows           four columns of each row are one word of a tile
//   sums         16 weight rows x 16 rows       of code * q; q_sum comes off as in every kernel
//
// Two by two tiles of sums stay in registers, so that a loaded tile is used twice. The order:
//
//   for each part of the rows (at most kRowsMax)      activations are laid out once, <= 1 MiB: L2
//     for each panel of 32 weight rows
//       for each chunk of 512 columns                 codes are expanded once, 16 KiB: L1
//         for each group of 32 rows                   8 steps of 4 products; sums kept in memory
//
// While a chunk is multiplied the next one is expanded, the first of the next panel after the last.
// A product takes 16 cycles and needs one tile from L1 and one from L2 for every two of them.
#pragma once

#include "worker/kernels/amx/columns.h"
#include "worker/kernels/amx/divisor.h"
#include "worker/kernels/amx/expansion.h"
#include "worker/kernels/amx/tile.h"
#include "worker/kernels/lanes/ternary_gemm.h"

namespace bitnetd::kernels::amx {
namespace {

constexpr int32_t kFewRows = 4;  // from 5 on, the others would unpack weights twice
constexpr int32_t kPairRows = 2 * kTileRows;
constexpr int32_t kRowsMax = 256;  // sums of a panel: 32 KiB
constexpr int32_t kActivationTiles = 1024;
constexpr int32_t kColumnsMax = kActivationTiles / 2 * kTileRowBytes;  // 32768: one group fits
constexpr int32_t kChunkBlocks = 2;
constexpr int32_t kChunkTiles = kChunkBlocks * kStepsOfBlock * 2;

// What many_rows() keeps on the stack: some 1.1 MiB, because kernels never allocate. Threads have
// 2 MiB at least.
struct Scratch {
    Tile activations[kActivationTiles];  // [group][step][row / 16]
    Tile codes[2][kChunkTiles];          // [step][weight row / 16], of this chunk and the next
    Tile sums[kRowsMax / kPairRows][4];  // [group][2 * (weight row / 16) + row / 16]
    Divisor x_scale[kRowsMax];
};

// Rows first .. first+rows-1 of the call, which share a layout of their activations.
struct Part {
    int64_t first;
    int32_t rows;
    int32_t steps;  // tiles across a whole row

    int32_t groups() const { return (rows + kPairRows - 1) / kPairRows; }
    int32_t rows_of(int32_t group) const {
        const int32_t left = rows - group * kPairRows;
        return left < kPairRows ? left : kPairRows;
    }
};

// The tiles of up to 16 rows, `tile_stride` tiles apart. Rows that are not there count as zeros.
inline void lay_out_rows(const int8_t* q, int64_t q_stride, int32_t rows, int32_t steps, Tile* to,
                         int32_t tile_stride) {
    for (int32_t step = 0; step < steps; ++step, to += tile_stride) {
        const void* from = q + step * kTileRowBytes;
        int64_t stride = q_stride;
        Tile padded;
        if (rows < kTileRows) {
            for (int32_t row = 0; row < kTileRows; ++row) {
                const __m512i bytes =
                    row < rows ? _mm512_loadu_si512(q + row * q_stride + step * kTileRowBytes)
                               : _mm512_setzero_si512();
                _mm512_store_si512(padded.bytes[row], bytes);
            }
            from = &padded;
            stride = kTileRowBytes;
        }
        for (int group = 0; group < 4; ++group) {
            const FourColumns words = four_columns(from, stride, group);
            for (int c = 0; c < 4; ++c)
                _mm512_store_si512(to->bytes[4 * group + c], words.column[c]);
        }
    }
}

inline void lay_out(const lanes::TernaryCall& call, const Part& part, Scratch& scratch) {
    for (int32_t group = 0; group < part.groups(); ++group) {
        const int32_t rows = part.rows_of(group);
        const int32_t tiles = rows > kTileRows ? 2 : 1;
        Tile* to = scratch.activations + int64_t{group} * 2 * part.steps;
        for (int32_t tile = 0; tile < tiles; ++tile) {
            const int32_t row = tile * kTileRows;
            const int32_t count = rows - row < kTileRows ? rows - row : kTileRows;
            const int64_t i = part.first + group * kPairRows + row;
            lay_out_rows(call.q + i * call.q_stride, call.q_stride, count, part.steps, to + tile,
                         tiles);
        }
    }
    for (int32_t row = 0; row < part.rows; ++row)
        scratch.x_scale[row] = Divisor::of(call.x_scale[part.first + row]);
}

// One chunk of one group: sums (+)= codes * activations, kCodes by kRows tiles of sums. Expands
// `share` blocks of the next chunk in each step.
template <int kCodes, int kRows, typename T, typename D>
inline void multiply(T& tiles, const Tile* codes, const Tile* activations, int32_t steps,
                     bool is_first, Expansion<D>& next, int32_t share, Tile* sums) {
    // Registers 0..3 hold sums, 4 and 5 codes, 6 and 7 activations.
    constexpr bool kTwoCodes = kCodes == 2, kTwoRows = kRows == 2;
    if (is_first) {
        tiles.template zero<0>();
        if constexpr (kTwoRows) tiles.template zero<1>();
        if constexpr (kTwoCodes) tiles.template zero<2>();
        if constexpr (kTwoCodes && kTwoRows) tiles.template zero<3>();
    } else {
        tiles.template load<0>(sums[0]);
        if constexpr (kTwoRows) tiles.template load<1>(sums[1]);
        if constexpr (kTwoCodes) tiles.template load<2>(sums[2]);
        if constexpr (kTwoCodes && kTwoRows) tiles.template load<3>(sums[3]);
    }
    for (int32_t step = 0; step < steps; ++step, codes += kCodes, activations += kRows) {
        tiles.template load<4>(codes[0]);
        tiles.template load<6>(activations[0]);
        tiles.template dot<0, 4, 6>();
        if constexpr (kTwoRows) {
            tiles.template load<7>(activations[1]);
            tiles.template dot<1, 4, 7>();
        }
        if constexpr (kTwoCodes) {
            tiles.template load<5>(codes[1]);
            tiles.template dot<2, 5, 6>();
        }
        if constexpr (kTwoCodes && kTwoRows) tiles.template dot<3, 5, 7>();
        next.advance(share);
    }
    tiles.template store<0>(sums[0]);
    if constexpr (kTwoRows) tiles.template store<1>(sums[1]);
    if constexpr (kTwoCodes) tiles.template store<2>(sums[2]);
    if constexpr (kTwoCodes && kTwoRows) tiles.template store<3>(sums[3]);
}

// The same with the shape known only now.
template <typename T, typename D>
inline void multiply(T& tiles, bool two_codes, bool two_rows, const Tile* codes,
                     const Tile* activations, int32_t steps, bool is_first, Expansion<D>& next,
                     int32_t share, Tile* sums) {
    const auto run = two_codes ? (two_rows ? multiply<2, 2, T, D> : multiply<2, 1, T, D>)
                               : (two_rows ? multiply<1, 2, T, D> : multiply<1, 1, T, D>);
    run(tiles, codes, activations, steps, is_first, next, share, sums);
}

// y of up to 16 rows from row i on and `columns` weight rows from j on.
inline void store_tile(const lanes::TernaryCall& call, const Tile& sums, const Divisor* x_scale,
                       int64_t i, int32_t rows, int64_t j, int32_t columns) {
    const auto mask = static_cast<__mmask16>((1u << columns) - 1);
    const __m512 w_scale = _mm512_set1_ps(call.w_scale);
    for (int group = 0; group < 4; ++group) {
        const FourColumns words = four_columns(&sums, kTileRowBytes, group);
        for (int32_t c = 0; c < 4; ++c) {
            const int32_t row = 4 * group + c;
            if (row >= rows) return;
            const __m512i q_sum = _mm512_set1_epi32(call.q_sum[i + row]);
            const __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(words.column[c], q_sum));
            const __m512 y = _mm512_mul_ps(divide(sum, x_scale[row]), w_scale);
            _mm512_mask_storeu_ps(call.y + (i + row) * call.y_stride + j, mask, y);
        }
    }
}

inline void store_group(const lanes::TernaryCall& call, const Part& part, const Scratch& scratch,
                        int32_t group, int64_t j, int32_t columns) {
    const int32_t rows = part.rows_of(group);
    for (int32_t row = 0; row < rows; row += kTileRows) {
        for (int32_t column = 0; column < columns; column += kTileRows) {
            const Tile& sums = scratch.sums[group][2 * (column / kTileRows) + row / kTileRows];
            const int32_t at = group * kPairRows + row;
            store_tile(call, sums, scratch.x_scale + at, part.first + at,
                       rows - row < kTileRows ? rows - row : kTileRows, j + column,
                       columns - column < kTileRows ? columns - column : kTileRows);
        }
    }
}

// Weight rows of one panel by the columns of one chunk.
struct Chunk {
    int32_t j = 0;      // the first weight row
    int32_t block = 0;  // the first block of the columns

    int32_t rows(int32_t n) const { return n - j < kPairRows ? n - j : kPairRows; }
    int32_t blocks(const lanes::TernaryCall& call) const {
        const int32_t left = call.blocks - block;
        return left < kChunkBlocks ? left : kChunkBlocks;
    }
    bool is_last_of_panel(const lanes::TernaryCall& call) const {
        return block + blocks(call) == call.blocks;
    }
    Chunk next(const lanes::TernaryCall& call) const {
        if (is_last_of_panel(call)) return {j + kPairRows, 0};
        return {j, block + blocks(call)};
    }
};

// How a chunk becomes tiles; nothing to do for one behind the last.
template <typename D>
inline Expansion<D> expansion_of(const lanes::TernaryCall& call, int32_t n, const Chunk& chunk,
                                 Tile* tiles) {
    if (chunk.j >= n) return Expansion<D>(call.w, call.w_stride, 0, 0, call.w, tiles);
    const uint8_t* panel = call.w + chunk.j * call.w_stride;
    const int64_t offset = int64_t{chunk.block} * kTernaryBlockBytes;
    const uint8_t* next_panel = panel + kPairRows * call.w_stride;
    return Expansion<D>(panel + offset, call.w_stride, chunk.rows(n), chunk.blocks(call),
                        next_panel + kPairRows * offset, tiles);
}

template <typename D, typename T>
inline void part_of_rows(T& tiles, const lanes::TernaryCall& call, int32_t n, const Part& part,
                         Scratch& scratch) {
    lay_out(call, part, scratch);
    Expansion<D> first = expansion_of<D>(call, n, {}, scratch.codes[0]);
    first.advance(first.left());
    int half = 0;
    for (Chunk chunk; chunk.j < n; chunk = chunk.next(call), half = 1 - half) {
        Expansion<D> next = expansion_of<D>(call, n, chunk.next(call), scratch.codes[1 - half]);
        const int32_t steps = chunk.blocks(call) * kStepsOfBlock;
        const int32_t steps_of_all = steps * part.groups();
        const int32_t share = (next.left() + steps_of_all - 1) / steps_of_all;
        const int32_t columns = chunk.rows(n);
        for (int32_t group = 0; group < part.groups(); ++group) {
            const bool two_rows = part.rows_of(group) > kTileRows;
            const Tile* activations = scratch.activations + int64_t{group} * 2 * part.steps +
                                      int64_t{chunk.block} * kStepsOfBlock * (two_rows ? 2 : 1);
            multiply(tiles, columns > kTileRows, two_rows, scratch.codes[half], activations, steps,
                     chunk.block == 0, next, share, scratch.sums[group]);
            if (chunk.is_last_of_panel(call))
                store_group(call, part, scratch, group, chunk.j, columns);
        }
    }
}

// The rows in parts of one size, as few as the scratch allows.
template <typename T, typename D>
[[gnu::noinline]] void many_rows(const lanes::TernaryCall& call, int32_t m, int32_t n) {
    Scratch scratch;
    // Weight rows behind the last are multiplied too, and never stored.
    for (Tile& tile : scratch.codes[0])
        tile = {};
    for (Tile& tile : scratch.codes[1])
        tile = {};
    T tiles(kWholeTiles);
    const int32_t steps = call.blocks * kStepsOfBlock;
    const int32_t fitting = kActivationTiles / (2 * steps) * kPairRows;
    const int32_t rows_max = fitting < kRowsMax ? fitting : kRowsMax;
    const int32_t parts = (m + rows_max - 1) / rows_max;
    const int32_t each = ((m + parts - 1) / parts + kPairRows - 1) / kPairRows * kPairRows;
    for (int32_t i = 0; i < m; i += each)
        part_of_rows<D>(tiles, call, n, Part{i, m - i < each ? m - i : each, steps}, scratch);
}

template <typename T, typename D>
void ternary_tiles(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                   const float* x_scale, const uint8_t* w, float w_scale, float* y,
                   int64_t y_stride) noexcept {
    if (k_padded > kColumnsMax) {
        return lanes::ternary_gemm<D>(m, n, k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
    }
    const auto call = lanes::call_of<D>(k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
    many_rows<T, D>(call, m, n);
}

template <typename T, typename D>
void ternary_gemm(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                  const float* x_scale, const uint8_t* w, float w_scale, float* y,
                  int64_t y_stride) noexcept {
    const auto run = m <= kFewRows ? lanes::ternary_gemm<D> : ternary_tiles<T, D>;
    run(m, n, k_padded, q, q_sum, x_scale, w, w_scale, y, y_stride);
}

}  // namespace
}  // namespace bitnetd::kernels::amx
