#include "common/quant/tiles.h"

#include <charconv>
#include <span>
#include <string>

#include "common/base/check.h"

namespace bitnetd::quant {
namespace {

// bitnet_b1_58-large, bitnet_b1_58-3B, then Llama3-8B-1.58 (and what has its shapes).
constexpr TileOfShape kPublishedTl1[] = {
    {{1536, 4096}, {256, 128, 32}},  {{1536, 1536}, {128, 64, 64}},  {{4096, 1536}, {256, 128, 32}},
    {{3200, 8640}, {160, 64, 32}},   {{3200, 3200}, {320, 128, 64}}, {{8640, 3200}, {320, 64, 32}},
    {{14336, 4096}, {256, 128, 32}}, {{4096, 14336}, {128, 64, 64}}, {{1024, 4096}, {256, 128, 32}},
    {{4096, 4096}, {128, 64, 64}},
};
constexpr TileOfShape kPublishedTl2[] = {
    {{1536, 4096}, {256, 96, 32}},  {{1536, 1536}, {128, 192, 32}}, {{4096, 1536}, {256, 96, 32}},
    {{3200, 8640}, {160, 96, 32}},  {{3200, 3200}, {320, 96, 32}},  {{8640, 3200}, {320, 96, 32}},
    {{14336, 4096}, {256, 96, 32}}, {{4096, 14336}, {128, 96, 32}}, {{1024, 4096}, {256, 96, 32}},
    {{4096, 4096}, {128, 96, 32}},
};

// A band of rows is decoded at once, so its height bounds memory. Published: at most 320.
constexpr uint32_t kTileRowsMax = 4096;
constexpr uint64_t kSideMax = 1u << 24;  // rows or columns of a shape in the option
constexpr uint32_t kTl1BytesOfGroup = 64;

const Tile* find(std::span<const TileOfShape> tiles, Shape shape) {
    for (const TileOfShape& entry : tiles) {
        if (entry.shape.rows == shape.rows && entry.shape.columns == shape.columns) {
            return &entry.tile;
        }
    }
    return nullptr;
}

std::string to_string(const Tile& tile) {
    return std::to_string(tile.rows) + "," + std::to_string(tile.columns) + "," +
           std::to_string(tile.group_rows);
}

// Empty when the tile fits.
std::string misfit(Type type, Shape shape, const Tile& tile) {
    if (tile.rows == 0 || tile.rows > kTileRowsMax) {
        return "BM must be 1 to " + std::to_string(kTileRowsMax);
    }
    if (tile.columns == 0) return "BK must not be 0";
    if (shape.rows % tile.rows != 0) return "BM does not divide the rows";
    if (type == Type::kTL2) {
        if (tile.group_rows != 32) return "bm must be 32";
        if (tile.rows % 32 != 0) return "BM must be a multiple of 32";
        if (tile.columns % 24 != 0) return "BK must be a multiple of 24";
        if (shape.columns % tile.columns % 32 != 0) {
            return "the columns beyond the last whole BK must be a multiple of 32";
        }
        return "";
    }
    if (tile.group_rows != 32 && tile.group_rows != 64) return "bm must be 32 or 64";
    if (tile.rows % tile.group_rows != 0) return "BM must be a multiple of bm";
    if (shape.columns % tile.columns != 0) return "BK does not divide the columns";
    if (tile.columns % (4 * kTl1BytesOfGroup / tile.group_rows) != 0) {
        return "BK must be a multiple of 256 / bm";
    }
    return "";
}

// Takes decimal digits, then `end` (0: the end of the text), off the front of `text`.
bool take_number(std::string_view& text, char end, uint64_t max, uint64_t& out) {
    const char* const begin = text.data();
    const auto [at, error] = std::from_chars(begin, begin + text.size(), out);
    if (error != std::errc() || out == 0 || out > max) return false;
    text.remove_prefix(static_cast<size_t>(at - begin));
    if (end == 0) return text.empty();
    if (text.empty() || text.front() != end) return false;
    text.remove_prefix(1);
    return true;
}

Result<TileOfShape> parse_entry(std::string_view entry) {
    std::string_view rest = entry;
    Shape shape;
    uint64_t rows = 0;
    uint64_t columns = 0;
    uint64_t group_rows = 0;
    if (!take_number(rest, 'x', kSideMax, shape.rows) ||
        !take_number(rest, '=', kSideMax, shape.columns) ||
        !take_number(rest, ',', kTileRowsMax, rows) || !take_number(rest, ',', kSideMax, columns) ||
        !take_number(rest, 0, 64, group_rows)) {
        return invalid("tile '" + std::string(entry.substr(0, 80)) +
                       "' is not of the form ROWSxCOLUMNS=BM,BK,bm with numbers in range");
    }
    return TileOfShape{shape,
                       {static_cast<uint32_t>(rows), static_cast<uint32_t>(columns),
                        static_cast<uint32_t>(group_rows)}};
}

}  // namespace

Result<std::vector<TileOfShape>> parse_tiles(std::string_view text) {
    std::vector<TileOfShape> tiles;
    while (!text.empty()) {
        const std::string_view entry = text.substr(0, text.find(';'));
        text.remove_prefix(entry.size());
        if (!text.empty()) {
            text.remove_prefix(1);
            if (text.empty()) return invalid("the list of tiles ends in ';'");
        }
        if (tiles.size() == kTilesMax) {
            return invalid("more than " + std::to_string(kTilesMax) + " tiles are given");
        }
        BITNETD_ASSIGN(const TileOfShape tile, parse_entry(entry));
        if (find(tiles, tile.shape) != nullptr) {
            return invalid("two tiles are given for " + to_string(tile.shape));
        }
        tiles.push_back(tile);
    }
    return tiles;
}

Result<Tile> find_tile(Type type, Shape shape, const std::vector<TileOfShape>& given) {
    BITNETD_CHECK(type == Type::kTL1 || type == Type::kTL2);
    const Tile* tile = find(given, shape);
    if (tile == nullptr && type == Type::kTL1) tile = find(kPublishedTl1, shape);
    if (tile == nullptr && type == Type::kTL2) tile = find(kPublishedTl2, shape);
    if (tile == nullptr) {
        return unsupported("the tile of " + std::string(name_of(type)) + " matrices of " +
                           to_string(shape) + " is not known and not in the file; give it as '" +
                           to_string(shape) + "=BM,BK,bm'");
    }
    const std::string why = misfit(type, shape, *tile);
    if (why.empty()) return *tile;
    return invalid("tile " + to_string(*tile) + " does not fit a " + std::string(name_of(type)) +
                   " matrix of " + to_string(shape) + ": " + why);
}

}  // namespace bitnetd::quant
