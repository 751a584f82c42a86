// Goal: tiles are found by shape, an operator's before the published ones, and nonsense is refused.
// Method: the option's grammar case by case; every rule a tile can break.
#include "common/quant/tiles.h"

#include <gtest/gtest.h>

namespace bitnetd::quant {
namespace {

std::string parse_error(std::string_view text) {
    const auto tiles = parse_tiles(text);
    return tiles.ok() ? "" : tiles.error().message;
}

std::string misfit(Type type, Shape shape, Tile tile) {
    const auto found = find_tile(type, shape, {{shape, tile}});
    return found.ok() ? "" : found.error().message;
}

TEST(Tiles, OptionIsParsed) {
    EXPECT_TRUE(parse_tiles("")->empty());
    const auto tiles = parse_tiles("2560x2560=160,64,32;640x2560=320,128,64");
    ASSERT_TRUE(tiles.ok()) << tiles.error().message;
    ASSERT_EQ(tiles->size(), 2u);
    EXPECT_EQ((*tiles)[1].shape.rows, 640u);
    EXPECT_EQ((*tiles)[1].shape.columns, 2560u);
    EXPECT_EQ((*tiles)[1].tile.rows, 320u);
    EXPECT_EQ((*tiles)[1].tile.columns, 128u);
    EXPECT_EQ((*tiles)[1].tile.group_rows, 64u);
}

TEST(Tiles, OptionIsRefused) {
    for (const char* bad : {"x", "1", "1x1", "1x1=1", "1x1=1,1", "1x1=1,1,1,1", "1x1=1,1,",
                            " 1x1=1,1,1", "1x1=1,1,1 ", "0x1=1,1,1", "1x0=1,1,1", "-1x1=1,1,1",
                            "+1x1=1,1,1", "1x1=0,1,1", "1x1=1,1,65", "99999999999999999999x1=1,1,1",
                            "16777217x1=1,1,1", "1x1=4097,1,1", "1X1=1,1,1"}) {
        EXPECT_EQ(parse_error(bad),
                  "tile '" + std::string(bad) +
                      "' is not of the form ROWSxCOLUMNS=BM,BK,bm with numbers in "
                      "range");
    }
    EXPECT_EQ(parse_error("1x1=1,1,1;"), "the list of tiles ends in ';'");
    EXPECT_EQ(parse_error("1x1=1,1,1;1x1=2,2,2"), "two tiles are given for 1x1");
    EXPECT_NE(parse_error(";1x1=1,1,1"), "");
    std::string many;
    for (int i = 1; i <= 257; ++i)
        many += std::to_string(i) + "x1=1,1,1" + (i < 257 ? ";" : "");
    EXPECT_EQ(parse_error(many), "more than 256 tiles are given");
}

TEST(Tiles, PublishedOnesAreThereAndGivenOnesGoFirst) {
    const Shape shape{14336, 4096};
    EXPECT_EQ(find_tile(Type::kTL1, shape, {})->columns, 128u);
    EXPECT_EQ(find_tile(Type::kTL2, shape, {})->columns, 96u);
    const auto given = parse_tiles("14336x4096=256,64,64");
    EXPECT_EQ(find_tile(Type::kTL1, shape, *given)->columns, 64u);
    EXPECT_EQ(find_tile(Type::kTL1, {4096, 14336}, *given)->columns, 64u);
}

TEST(Tiles, EveryRuleOfTl1) {
    const Shape shape{256, 512};
    EXPECT_EQ(misfit(Type::kTL1, shape, {128, 64, 64}), "");
    const std::string of = " does not fit a TL1 matrix of 256x512: ";
    EXPECT_EQ(misfit(Type::kTL1, shape, {0, 64, 64}), "tile 0,64,64" + of + "BM must be 1 to 4096");
    EXPECT_EQ(misfit(Type::kTL1, shape, {128, 0, 64}), "tile 128,0,64" + of + "BK must not be 0");
    EXPECT_EQ(misfit(Type::kTL1, shape, {96, 64, 32}),
              "tile 96,64,32" + of + "BM does not divide the rows");
    EXPECT_EQ(misfit(Type::kTL1, shape, {128, 64, 16}),
              "tile 128,64,16" + of + "bm must be 32 or 64");
    EXPECT_EQ(misfit(Type::kTL1, shape, {32, 64, 64}),
              "tile 32,64,64" + of + "BM must be a multiple of bm");
    EXPECT_EQ(misfit(Type::kTL1, shape, {128, 96, 64}),
              "tile 128,96,64" + of + "BK does not divide the columns");
    EXPECT_EQ(misfit(Type::kTL1, shape, {128, 4, 32}),
              "tile 128,4,32" + of + "BK must be a multiple of 256 / bm");
}

TEST(Tiles, EveryRuleOfTl2) {
    const Shape shape{256, 512};
    EXPECT_EQ(misfit(Type::kTL2, shape, {128, 192, 32}), "");
    const std::string of = " does not fit a TL2 matrix of 256x512: ";
    EXPECT_EQ(misfit(Type::kTL2, shape, {128, 96, 64}), "tile 128,96,64" + of + "bm must be 32");
    EXPECT_EQ(misfit(Type::kTL2, shape, {16, 96, 32}),
              "tile 16,96,32" + of + "BM must be a multiple of 32");
    EXPECT_EQ(misfit(Type::kTL2, shape, {128, 128, 32}),
              "tile 128,128,32" + of + "BK must be a multiple of 24");
    EXPECT_EQ(
        misfit(Type::kTL2, shape, {128, 72, 32}),
        "tile 128,72,32" + of + "the columns beyond the last whole BK must be a multiple of 32");
}

}  // namespace
}  // namespace bitnetd::quant
