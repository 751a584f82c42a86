// A tile of AMX in memory, and how the tile registers are set up: all eight as 16 rows of 64 bytes
// (palette 1, "Intel 64 and IA-32 Architectures Software Developer's Manual", LDTILECFG).
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnetd::kernels::amx {
namespace {

constexpr int32_t kTileRows = 16;
constexpr int32_t kTileRowBytes = 64;
constexpr int32_t kTileRegisters = 8;

// Row after row, so that a load or store of one touches 1 KiB and nothing else.
struct alignas(64) Tile {
    uint8_t bytes[kTileRows][kTileRowBytes];
};
static_assert(sizeof(Tile) == 1024);

struct alignas(64) TileConfig {
    uint8_t palette;
    uint8_t start_row;  // where an interrupted load goes on
    uint8_t reserved[14];
    uint16_t row_bytes[16];  // of each register; those beyond the eighth are reserved
    uint8_t rows[16];        // likewise
};
static_assert(sizeof(TileConfig) == 64);
static_assert(offsetof(TileConfig, row_bytes) == 16 && offsetof(TileConfig, rows) == 48);

constexpr TileConfig whole_tiles() {
    TileConfig out{};
    out.palette = 1;
    for (int32_t tile = 0; tile < kTileRegisters; ++tile) {
        out.row_bytes[tile] = kTileRowBytes;
        out.rows[tile] = kTileRows;
    }
    return out;
}
constexpr TileConfig kWholeTiles = whole_tiles();

}  // namespace
}  // namespace bitnetd::kernels::amx
