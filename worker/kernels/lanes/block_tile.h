// Reading packed matrices (block_format.h): the parts of a unit and the codes of a tile. V is an
// instruction set's F32x16, B its BlockDot, L the layout of one format: everything that depends on
// the format is settled at compile time.
#pragma once

#include <cstdint>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::lanes {

constexpr int32_t kTileQuads = kTileColumns / 4;  // a quad: 4 columns of 16 rows, 64 code bytes
constexpr int32_t kQuadBytes = 4 * kStripeRows;
constexpr int64_t kBlockPrefetchLead = 4096;  // bytes ahead, through this stripe into the next

// One unit of a stripe: lane = row.
template <typename V, BlockLayout L>
struct BlockUnit {
    static constexpr int32_t kTiles = L.unit / kTileColumns;
    static constexpr int32_t kTileGroups = kTileColumns / L.group;

    const uint8_t* at;
    V d, m;

    explicit BlockUnit(const uint8_t* unit) : at(unit), d(halves(0)), m(d) {
        if constexpr (L.has_offsets) m = halves(L.m_at());
    }
    // Of a group counted from the unit's first.
    V factor(int32_t group) const {
        if constexpr (!L.has_scales()) return d;
        return d * small(L.scales_at(), group);
    }
    V offset(int32_t group) const {
        if constexpr (!L.has_scales()) return m;
        return m * small(L.minima_at(), group);
    }
    const uint8_t* codes(int32_t tile) const { return at + L.codes_at() + tile * L.tile_bytes(); }

    // This tile's share of the bytes that come kBlockPrefetchLead later: one ascending stream.
    void prefetch(int32_t tile) const {
        constexpr int32_t kShare = L.unit_bytes() / kTiles;
        const char* ahead =
            reinterpret_cast<const char*>(at) + kBlockPrefetchLead + int64_t{tile} * kShare;
#pragma GCC unroll 16
        for (int32_t line = 0; line < kShare; line += 64)
            __builtin_prefetch(ahead + line);
    }

  private:
    V halves(int32_t offset_bytes) const {
        return V::load(reinterpret_cast<const uint16_t*>(at + offset_bytes));
    }
    V small(int32_t first, int32_t group) const {
        return V::load(reinterpret_cast<const int8_t*>(at + first + group * kStripeRows));
    }
};

// The stored codes of a tile as bytes, quad after quad.
template <typename B, BlockLayout L>
inline void load_tile(const uint8_t* tile, typename B::Codes* quad) {
    if constexpr (L.code_bits == 8) {
#pragma GCC unroll 8
        for (int i = 0; i < kTileQuads; ++i)
            quad[i] = B::load(tile + i * kQuadBytes);
    } else {
#pragma GCC unroll 4
        for (int i = 0; i < kTileQuads / 2; ++i) {
            const typename B::Codes both = B::load(tile + i * kQuadBytes);
            quad[i] = B::low(both);
            quad[kTileQuads / 2 + i] = B::high(both);
        }
    }
}

}  // namespace bitnetd::kernels::lanes
