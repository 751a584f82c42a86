// Matrices of small whole numbers with factors, as the block kernels read them: a packing of our
// own that every block type of GGUF maps to without rounding (block_pack.h writes it). A row is
// decoder order along k; element t of a row is, as floats,
//   factor = d[t / unit] * scale[t / group]       exact: an 11-bit number times a 7-bit one
//   offset = m[t / unit] * minimum[t / group]     exact
//   value  = factor * (code[t] - bias) + offset   the product exact, the sum rounded once
//
// Sixteen rows make a stripe, so that a vector's lane is a row and no product needs a horizontal
// sum. A stripe is k / unit units one after the other, and a unit is
//   d       half [16]                   m       half [16]                with offsets
//   scales  int8 [unit / group][16]     minima  int8 [unit / group][16]  with offsets; both only
//                                               where group < unit, else they are 1
//   codes   one tile after the other, 16 rows by 32 columns each, row r, column c:
//           8 bits: uint8 [8][16][4]    byte [c / 4][r][c % 4]
//           4 bits: uint8 [4][16][4]    byte [c % 16 / 4][r][c % 4], low nibble for c < 16
// The last stripe is filled up with rows of zero bytes. Nothing needs more alignment than a byte;
// a matrix that begins on a cache line is read fastest.
#pragma once

#include <cstdint>

namespace bitnetd::kernels {

// One per block type of quant::Type. The number is stored in prepared weights: append only.
enum class BlockFormat : uint8_t {
    kQ4_0,
    kQ4_1,
    kQ5_0,
    kQ5_1,
    kQ8_0,
    kQ2_K,
    kQ3_K,
    kQ4_K,
    kQ5_K,
    kQ6_K,
    kQ1_0,
    kQ2_0,
};
inline constexpr int kBlockFormats = 12;

inline constexpr int32_t kStripeRows = 16;
inline constexpr int32_t kTileColumns = 32;

struct BlockLayout {
    int32_t unit;       // columns with one d (and m): 32 or 256
    int32_t group;      // columns with one scale (and minimum): 16 or 32
    bool has_offsets;   // else value = factor * (code - bias)
    int32_t code_bits;  // 4 or 8
    int32_t bias;       // a code is stored as this much more than it means
    int32_t code_max;   // as stored

    constexpr bool has_scales() const { return group < unit; }
    constexpr int32_t groups() const { return unit / group; }
    constexpr int32_t tile_bytes() const { return kStripeRows * kTileColumns * code_bits / 8; }
    // Where the parts of a unit begin.
    constexpr int32_t m_at() const { return 2 * kStripeRows; }
    constexpr int32_t scales_at() const { return m_at() + (has_offsets ? 2 * kStripeRows : 0); }
    constexpr int32_t minima_at() const {
        return scales_at() + (has_scales() ? groups() * kStripeRows : 0);
    }
    constexpr int32_t codes_at() const {
        return minima_at() + (has_scales() && has_offsets ? groups() * kStripeRows : 0);
    }
    constexpr int32_t unit_bytes() const { return codes_at() + unit / kTileColumns * tile_bytes(); }
};

// By BlockFormat: unit, group, has_offsets, code_bits, bias, code_max. This and what follows has
// internal linkage, since objects of an instruction set may share no symbol.
constexpr BlockLayout kBlockLayouts[kBlockFormats] = {
    {32, 32, false, 4, 8, 15},     // Q4_0: 4.5 bits per weight
    {32, 32, true, 4, 0, 15},      // Q4_1: 5
    {32, 32, false, 8, 16, 31},    // Q5_0: 8.5
    {32, 32, true, 8, 0, 31},      // Q5_1: 9
    {32, 32, false, 8, 128, 255},  // Q8_0: 8.5
    {256, 16, true, 4, 0, 3},      // Q2_K: 5.125
    {256, 16, false, 4, 4, 7},     // Q3_K: 4.5625
    {256, 32, true, 4, 0, 15},     // Q4_K: 4.625
    {256, 32, true, 8, 0, 31},     // Q5_K: 8.625
    {256, 16, false, 8, 32, 63},   // Q6_K: 8.5625
    {32, 32, false, 4, 1, 3},      // Q1_0: 4.5
    {32, 32, false, 4, 1, 3},      // Q2_0: 4.5
};

static constexpr const BlockLayout& layout_of(BlockFormat format) {
    return kBlockLayouts[static_cast<int>(format)];
}

// Bytes of one stripe of rows of k columns; k is a multiple of the format's unit.
static constexpr int64_t stripe_bytes(BlockFormat format, int64_t k) {
    return k / layout_of(format).unit * layout_of(format).unit_bytes();
}

// Bytes of a matrix of n rows. A part of it that begins at row j, a multiple of kStripeRows, begins
// at byte block_matrix_bytes(format, j, k).
static constexpr int64_t block_matrix_bytes(BlockFormat format, int64_t n, int64_t k) {
    return (n + kStripeRows - 1) / kStripeRows * stripe_bytes(format, k);
}

}  // namespace bitnetd::kernels
