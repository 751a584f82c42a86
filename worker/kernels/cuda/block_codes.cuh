// Matrices of blocks as block_format.h packs them, which is how the device wants them too: a word
// of a tile is four neighbouring codes of one row, the operand of dot_4() and of
// multiply_16x8x32(), and half a warp reads the words of a stripe's 16 rows as 64 neighbouring
// bytes.
#pragma once

#include <cstring>

#include "worker/kernels/cuda/products.cuh"

namespace bitnetd::kernels::cuda {
namespace {

// What tells one format from another, beside the bits of a code and the columns of a group.
struct BlockForm {
    int32_t unit_tiles;
    int32_t unit_bytes;
    int32_t m_at;
    int32_t scales_at;
    int32_t minima_at;
    int32_t codes_at;
    bool has_offsets;
    bool has_scales;
    // Codes that need the eighth bit become signed by turning it over, which takes their bias away;
    // other codes are signed as they are.
    uint32_t flip;
    int32_t bias;  // that is left
    int32_t stored_bias;
};

BlockForm form_of(BlockFormat format) {
    const BlockLayout& layout = layout_of(format);
    const bool is_flipped = layout.code_max > 127;
    return {.unit_tiles = layout.unit / kTileColumns,
            .unit_bytes = layout.unit_bytes(),
            .m_at = layout.m_at(),
            .scales_at = layout.scales_at(),
            .minima_at = layout.minima_at(),
            .codes_at = layout.codes_at(),
            .has_offsets = layout.has_offsets,
            .has_scales = layout.has_scales(),
            .flip = is_flipped ? 0x80808080u : 0u,
            .bias = is_flipped ? 0 : layout.bias,
            .stored_bias = layout.bias};
}

// Words of a row in a tile: four columns each of 8 bits, or eight of 4 bits.
inline constexpr int32_t kTileQuads = kTileColumns / 4;
template <int kBits>
inline constexpr int32_t kTileWords = kBits* kTileColumns / 32;

// 32 codes of a row.
template <int kBits>
struct TileCodes {
    uint32_t word[kTileWords<kBits>];

    // Columns 4i .. 4i + 3 as stored.
    BITNETD_DEVICE uint32_t quad(int32_t i) const {
        if constexpr (kBits == 8) return word[i];
        return (i < kTileQuads / 2 ? word[i] : word[i - kTileQuads / 2] >> 4) & 0x0f0f0f0f;
    }
};

// One tile of a stripe: 16 rows by 32 columns, with what its unit says of them.
template <int kBits, int kGroup>
class TileView {
  public:
    static constexpr int32_t kGroups = kTileColumns / kGroup;

    BITNETD_DEVICE TileView(const BlockForm& form, const std::byte* stripe, int32_t tile)
        : form_(form),
          unit_(stripe + int64_t{tile / form.unit_tiles} * form.unit_bytes),
          in_unit_(tile % form.unit_tiles) {}

    BITNETD_DEVICE const uint32_t* words() const {
        constexpr int32_t kTileBytes = kStripeRows * kTileColumns * kBits / 8;
        return reinterpret_cast<const uint32_t*>(unit_ + form_.codes_at + in_unit_ * kTileBytes);
    }
    BITNETD_DEVICE TileCodes<kBits> codes(int32_t row) const {
        TileCodes<kBits> codes;
        BITNETD_UNROLL
        for (int32_t i = 0; i < kTileWords<kBits>; ++i)
            codes.word[i] = words()[i * kStripeRows + row];
        return codes;
    }
    // Of a row's columns in group `group` of the tile. Both are exact.
    BITNETD_DEVICE float factor(int32_t group, int32_t row) const {
        return half(0, row) * small(form_.scales_at, group, row);
    }
    BITNETD_DEVICE float offset(int32_t group, int32_t row) const {
        if (!form_.has_offsets) return 0.0f;
        return half(form_.m_at, row) * small(form_.minima_at, group, row);
    }

  private:
    BITNETD_DEVICE float half(int32_t at, int32_t row) const {
        return half_to_float(*reinterpret_cast<const uint16_t*>(unit_ + at + 2 * row));
    }
    BITNETD_DEVICE float small(int32_t at, int32_t group, int32_t row) const {
        if (!form_.has_scales) return 1.0f;
        const int32_t index = in_unit_ * kGroups + group;
        return to_float(static_cast<int8_t>(unit_[at + index * kStripeRows + row]));
    }

    const BlockForm& form_;
    const std::byte* unit_;
    int32_t in_unit_;
};

// Sixteen rows of a matrix; those beyond the last row are its last stripe.
BITNETD_DEVICE const std::byte* stripe_of(const Matrix& w, const BlockForm& form, int32_t stripe) {
    const int32_t last = (w.rows - 1) / kStripeRows;
    const int64_t units = w.columns / kTileColumns / form.unit_tiles;
    return w.data + (stripe < last ? stripe : last) * units * form.unit_bytes;
}

// Rows rounded by quantise_blocks.
struct RoundedRows {
    const int8_t* q;       // [m][k]
    const float* d;        // [m][k / 32]
    const int32_t* q_sum;  // [m][k / 16]

    BITNETD_DEVICE int32_t sum(int64_t row, int32_t tiles, int32_t tile, int32_t group,
                               int32_t groups) const {
        const int32_t* const sums = q_sum + 2 * (row * tiles + tile);
        return groups == 1 ? sums[0] + sums[1] : sums[group];
    }
};

// Calls run.template operator()<bits of a code, columns of a group>().
template <typename Run>
void with_form(BlockFormat format, const Run& run) {
    const BlockLayout& layout = layout_of(format);
    if (layout.code_bits == 8) {
        if (layout.group == 32) return run.template operator()<8, 32>();
        return run.template operator()<8, 16>();
    }
    if (layout.group == 32) return run.template operator()<4, 32>();
    return run.template operator()<4, 16>();
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
