// The tile sizes of TL1 and TL2 matrices. They were constants of the program that wrote the file,
// chosen by shape, and are not in the file: the published ones are built in, others are given by
// the operator. A wrong tile reads as other weights, so a shape without one is refused.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::quant {

// BM, BK and bm of the formats' descriptions.
struct Tile {
    uint32_t rows = 0;        // BM: a matrix is cut into bands of so many rows
    uint32_t columns = 0;     // BK: a band into tiles of so many columns
    uint32_t group_rows = 0;  // bm: rows whose codes share 64 bytes (TL1: 32 or 64; TL2: 32)
};

struct TileOfShape {
    Shape shape;
    Tile tile;
};

// The option "ROWSxCOLUMNS=BM,BK,bm[;...]", at most kTilesMax shapes, each once; "" is none.
inline constexpr size_t kTilesMax = 256;
Result<std::vector<TileOfShape>> parse_tiles(std::string_view text);

// The tile of a TL1 or TL2 matrix: from `given` first, then from the published ones. The error
// names the shape and says how to give a tile, or why the tile does not fit.
Result<Tile> find_tile(Type type, Shape shape, const std::vector<TileOfShape>& given);

}  // namespace bitnetd::quant
