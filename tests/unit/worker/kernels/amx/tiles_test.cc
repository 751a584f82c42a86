// Goal: the bytes that set the tile registers up are those of Intel's manual, and the emulation
// that
//       other tests compute with does what its instructions are described to do.
// Method: bytes at the offsets of the manual; products computed by its formula and by hand, with
//       the numbers that tell signed from unsigned; what the CPU refuses ends the process.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/amx/emulated_tiles.h"
#include "worker/kernels/amx/tile.h"

namespace bitnetd::kernels::amx {
namespace {

// LDTILECFG, palette 1: byte 0 the palette, 1 the start row, 16.. bytes per row as 16 bits for each
// register, 48.. rows as 8 bits, the rest reserved and zero.
TEST(TileConfig, IsAsTheManualSays) {
    uint8_t bytes[64];
    static_assert(sizeof bytes == sizeof kWholeTiles);
    std::memcpy(bytes, &kWholeTiles, sizeof bytes);
    uint8_t want[64] = {};
    want[0] = 1;
    for (int tile = 0; tile < 8; ++tile) {
        want[16 + 2 * tile] = 64;
        want[17 + 2 * tile] = 0;
        want[48 + tile] = 16;
    }
    EXPECT_EQ(std::memcmp(bytes, want, sizeof bytes), 0);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(&kWholeTiles) % 64, 0u);
}

int32_t word(const Tile& tile, int row, int column) {
    int32_t out;
    std::memcpy(&out, tile.bytes[row] + 4 * column, sizeof out);
    return out;
}

// The manual's formula, from the bytes in memory.
int32_t product(const Tile& codes, const Tile& values, int row, int column) {
    int32_t sum = 0;
    for (int k = 0; k < 16; ++k) {
        for (int t = 0; t < 4; ++t) {
            const uint8_t code = codes.bytes[row][4 * k + t];
            const auto value = static_cast<int8_t>(values.bytes[k][4 * column + t]);
            sum += code * value;
        }
    }
    return sum;
}

TEST(EmulatedTiles, MultiplyUnsignedBySigned) {
    EmulatedTiles tiles(kWholeTiles);
    Tile codes{};
    Tile values{};
    // Row 2, columns 4..7 by word 5 of row 1: 200 * -3 + 255 * -128 + 1 * 127 + 2 * 1.
    const uint8_t code[4] = {200, 255, 1, 2};
    const int8_t value[4] = {-3, -128, 127, 1};
    std::memcpy(codes.bytes[2] + 4, code, sizeof code);
    std::memcpy(values.bytes[1] + 20, value, sizeof value);
    tiles.zero<3>();
    tiles.load<0>(codes);
    tiles.load<7>(values);
    tiles.dot<3, 0, 7>();
    tiles.dot<3, 0, 7>();
    Tile sums;
    tiles.store<3>(sums);
    for (int row = 0; row < 16; ++row) {
        for (int column = 0; column < 16; ++column) {
            const int32_t want = row == 2 && column == 5 ? 2 * (-600 - 32640 + 127 + 2) : 0;
            EXPECT_EQ(word(sums, row, column), want) << row << " " << column;
        }
    }
}

TEST(EmulatedTiles, AddToWhatIsThere) {
    EmulatedTiles tiles(kWholeTiles);
    Tile codes;
    Tile values;
    Tile before;
    uint32_t state = 1;
    for (Tile* tile : {&codes, &values, &before}) {
        for (auto& row : tile->bytes) {
            for (uint8_t& byte : row)
                byte = static_cast<uint8_t>((state = state * 1664525 + 1013904223) >> 24);
        }
    }
    for (auto& row : before.bytes) {
        for (int i = 3; i < 64; i += 4)
            row[i] = 0;  // far from the ends of 32 bits
    }
    tiles.load<1>(before);
    tiles.load<2>(codes);
    tiles.load<4>(values);
    tiles.dot<1, 2, 4>();
    Tile after;
    tiles.store<1>(after);
    for (int row = 0; row < 16; ++row) {
        for (int column = 0; column < 16; ++column) {
            EXPECT_EQ(word(after, row, column),
                      word(before, row, column) + product(codes, values, row, column));
        }
    }
}

TEST(EmulatedTilesDeathTest, RefuseWhatTheCpuRefuses) {
    const auto with = [](auto change) {
        TileConfig config = kWholeTiles;
        change(config);
        EmulatedTiles tiles(config);
        tiles.dot<0, 4, 6>();
    };
    with([](TileConfig&) {});
    EXPECT_DEATH(with([](TileConfig& c) { c.palette = 2; }), "");
    EXPECT_DEATH(with([](TileConfig& c) { c.reserved[3] = 1; }), "");
    EXPECT_DEATH(with([](TileConfig& c) { c.row_bytes[8] = 64; }), "") << "a ninth register";
    EXPECT_DEATH(with([](TileConfig& c) { c.rows[1] = 17; }), "");
    EXPECT_DEATH(with([](TileConfig& c) { c.row_bytes[1] = 68; }), "");
    EXPECT_DEATH(with([](TileConfig& c) { c.rows[1] = 0; }), "") << "rows without bytes";
    EXPECT_DEATH(with([](TileConfig& c) { c.rows[4] = 8; }), "") << "shapes that do not match";
    EXPECT_DEATH(with([](TileConfig& c) { c.rows[6] = 8; }), "") << "shapes that do not match";
    EXPECT_DEATH(with([](TileConfig& c) { c.rows[0] = c.row_bytes[0] = 0; }), "") << "not set up";
}

}  // namespace
}  // namespace bitnetd::kernels::amx
