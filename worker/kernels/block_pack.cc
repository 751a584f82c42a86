#include "worker/kernels/block_pack.h"

#include <cstring>

#include "common/base/check.h"

namespace bitnetd::kernels {
namespace {

struct NamedFormat {
    quant::Type type;
    BlockFormat format;
};

constexpr NamedFormat kFormats[] = {
    {quant::Type::kQ4_0, BlockFormat::kQ4_0}, {quant::Type::kQ4_1, BlockFormat::kQ4_1},
    {quant::Type::kQ5_0, BlockFormat::kQ5_0}, {quant::Type::kQ5_1, BlockFormat::kQ5_1},
    {quant::Type::kQ8_0, BlockFormat::kQ8_0}, {quant::Type::kQ2_K, BlockFormat::kQ2_K},
    {quant::Type::kQ3_K, BlockFormat::kQ3_K}, {quant::Type::kQ4_K, BlockFormat::kQ4_K},
    {quant::Type::kQ5_K, BlockFormat::kQ5_K}, {quant::Type::kQ6_K, BlockFormat::kQ6_K},
    {quant::Type::kQ1_0, BlockFormat::kQ1_0}, {quant::Type::kQ2_0, BlockFormat::kQ2_0},
};
static_assert(std::size(kFormats) == kBlockFormats);

// Lane `lane` of 16 halves.
void put_half(uint8_t* halves, int64_t lane, uint16_t value) {
    std::memcpy(halves + 2 * lane, &value, sizeof value);
}

void pack_tile(const BlockLayout& layout, const int8_t* codes, int64_t lane, uint8_t* tile) {
    for (int32_t c = 0; c < kTileColumns; ++c) {
        const int stored = codes[c] + layout.bias;
        BITNETD_DCHECK(stored >= 0 && stored <= layout.code_max);
        const int32_t column = layout.code_bits == 8 ? c : c % 16;
        uint8_t& byte = tile[column / 4 * (4 * kStripeRows) + lane * 4 + column % 4];
        if (layout.code_bits == 8) {
            byte = static_cast<uint8_t>(stored);
        } else if (c < 16) {
            byte = static_cast<uint8_t>((byte & 0xf0) | stored);
        } else {
            byte = static_cast<uint8_t>((byte & 0x0f) | stored << 4);
        }
    }
}

}  // namespace

std::optional<BlockFormat> block_format_of(quant::Type type) noexcept {
    for (const NamedFormat& named : kFormats) {
        if (named.type == type) return named.format;
    }
    return std::nullopt;
}

void pack_block_row(BlockFormat format, const quant::BlockCodes& numbers, int64_t row,
                    uint8_t* matrix) {
    const BlockLayout& layout = layout_of(format);
    const auto k = static_cast<int64_t>(numbers.codes.size());
    BITNETD_CHECK(k % layout.unit == 0);
    BITNETD_CHECK(static_cast<int64_t>(numbers.d.size()) == k / layout.unit);
    BITNETD_CHECK(static_cast<int64_t>(numbers.scales.size()) == k / layout.group);
    const int64_t lane = row % kStripeRows;
    uint8_t* at = matrix + row / kStripeRows * stripe_bytes(format, k);
    for (int64_t unit = 0; unit < k / layout.unit; ++unit, at += layout.unit_bytes()) {
        put_half(at, lane, numbers.d[static_cast<size_t>(unit)]);
        if (layout.has_offsets) {
            put_half(at + layout.m_at(), lane, numbers.m[static_cast<size_t>(unit)]);
        }
        for (int64_t g = 0; layout.has_scales() && g < layout.groups(); ++g) {
            const auto group = static_cast<size_t>(unit * layout.groups() + g);
            const int64_t to = g * kStripeRows + lane;
            at[layout.scales_at() + to] = static_cast<uint8_t>(numbers.scales[group]);
            if (layout.has_offsets) {
                at[layout.minima_at() + to] = static_cast<uint8_t>(numbers.minima[group]);
            }
        }
        for (int32_t tile = 0; tile < layout.unit / kTileColumns; ++tile) {
            pack_tile(layout, numbers.codes.data() + unit * layout.unit + tile * kTileColumns, lane,
                      at + layout.codes_at() + tile * layout.tile_bytes());
        }
    }
}

}  // namespace bitnetd::kernels
