// Goal: a ternary matrix reads the same in any steps, in every variant, and bytes that stand for no
// ternary weights are refused with the place where they are.
// Method: matrices packed by formula (packers.h), read whole, in steps and truncated at every
// length; then one byte made wrong per rule.
#include "common/quant/ternary_matrix.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/golden.h"
#include "tests/unit/common/quant/packers.h"

namespace bitnetd::quant {
namespace {

using testing::Bytes;
using testing::Matrix;

float row_scale(uint64_t row) {
    return 0.25f * static_cast<float>(row + 1);
}

// One matrix of a type, as bytes.
struct Case {
    std::string name;
    Type type;
    Matrix weights;
    Bytes bytes;
    TernaryOptions options = {};
};

std::vector<Case> cases() {
    std::vector<Case> out;
    const auto add = [&out](std::string name, Type type, const Matrix& weights, Bytes bytes,
                            const TernaryOptions& options = {}) {
        out.push_back({std::move(name), type, weights, std::move(bytes), options});
    };
    const Matrix wide = testing::published_weights({8, 256});
    TernaryOptions options;
    add("128/32", Type::kI2_S, wide, testing::add_tail(testing::pack_i2_s(wide, 128), 0.5f));
    options.i2s_layout = I2sLayout::kBlocks64;
    const Matrix narrow = testing::published_weights({8, 192});
    add("64/16", Type::kI2_S, narrow, testing::add_tail(testing::pack_i2_s(narrow, 64), 0.5f),
        options);
    options.i2s_layout = I2sLayout::kSequential;
    const Matrix odd = testing::published_weights({8, 100});
    add("sequential", Type::kI2_S, odd, testing::add_tail(testing::pack_i2_s(odd, 4), 0.5f),
        options);
    add("IQ1_BN", Type::kIQ1_BN, narrow, testing::pack_iq1_bn(narrow, row_scale));
    add("IQ2_BN", Type::kIQ2_BN, narrow, testing::pack_iq2_bn(narrow, row_scale));
    add("IQ2_BN_R4", Type::kIQ2_BN_R4, narrow, testing::pack_iq2_bn_r4(narrow, row_scale));
    options = {};
    options.outer_scale = 0.125f;
    add("packed", Type::kPackedU8, odd, testing::pack_u8(odd), options);
    const Matrix seven = testing::published_weights({7, 5});  // the last packed row is not full
    add("packed, 7 rows", Type::kPackedU8, seven, testing::pack_u8(seven), options);
    const Matrix tall = testing::published_weights({128, 256});
    const Tile tl1{64, 64, 32};
    options = {};
    options.tiles = {{tall.shape, tl1}};
    add("TL1", Type::kTL1, tall, testing::add_tail(testing::pack_tl1(tall, tl1), 0.5f), options);
    const Matrix longer = testing::published_weights({64, 320});
    const Tile tl2{32, 96, 32};
    options.tiles = {{longer.shape, tl2}};
    add("TL2", Type::kTL2, longer,
        testing::add_tl2_end(testing::pack_tl2(longer, tl2), longer.shape, 0.5f), options);
    return out;
}

Result<std::unique_ptr<TernaryMatrix>> open(const Case& c) {
    return open_ternary(c.type, c.weights.shape, read_from(c.bytes), c.options);
}

struct Read {
    std::vector<int8_t> digits;
    std::vector<float> scales;
};

// In steps of `steps` row steps, the last one shorter.
Result<Read> read_in_steps(const Case& c, uint64_t steps) {
    BITNETD_ASSIGN(const auto matrix, open(c));
    Read out;
    const uint64_t rows = c.weights.shape.rows;
    for (uint64_t row = 0; row < rows;) {
        const uint64_t count = std::min(steps * matrix->row_step(), rows - row);
        std::vector<int8_t> digits(static_cast<size_t>(count * c.weights.shape.columns));
        std::vector<float> scales(matrix->scale_count(count));
        BITNETD_TRY(matrix->read_rows(row, count, digits, scales));
        out.digits.insert(out.digits.end(), digits.begin(), digits.end());
        out.scales.insert(out.scales.end(), scales.begin(), scales.end());
        row += count;
    }
    return out;
}

std::string refusal(const Case& c) {
    const auto read = read_in_steps(c, 1);
    return read.ok() ? "" : read.error().message;
}

Case with_byte(Case c, size_t at, unsigned value) {
    c.bytes.at(at) = static_cast<std::byte>(value);
    return c;
}

Case find_case(const std::string& name) {
    for (Case& c : cases()) {
        if (c.name == name) return std::move(c);
    }
    throw std::runtime_error("no case " + name);
}

TEST(TernaryMatrix, ReadsTheSameInAnySteps) {
    for (const Case& c : cases()) {
        SCOPED_TRACE(c.name);
        EXPECT_EQ(matrix_bytes(c.type, c.weights.shape).value(), c.bytes.size());
        for (const uint64_t steps : {1, 2, 3, 100}) {
            const auto read = read_in_steps(c, steps);
            ASSERT_TRUE(read.ok()) << read.error().message;
            EXPECT_TRUE(read->digits == c.weights.digits) << steps;
        }
    }
}

TEST(TernaryMatrix, GivesTheScalesOfItsType) {
    for (const Case& c : cases()) {
        SCOPED_TRACE(c.name);
        const auto read = read_in_steps(c, 100);
        ASSERT_TRUE(read.ok());
        const bool rows = info_of(c.type).row_header_bytes > 0;
        EXPECT_EQ(open(c).value()->scales_per(), rows ? ScalesPer::kRow : ScalesPer::kMatrix);
        for (size_t i = 0; i < read->scales.size(); ++i) {
            const float expected = rows ? row_scale(i) : c.type == Type::kPackedU8 ? 0.125f : 0.5f;
            EXPECT_EQ(read->scales[i], expected);
        }
    }
}

TEST(TernaryMatrix, IsRefusedWhereverItsBytesEnd) {
    for (const Case& whole : cases()) {
        SCOPED_TRACE(whole.name);
        // What follows the four bytes of a scale at the end is not read.
        const bool tail =
            whole.type == Type::kI2_S || whole.type == Type::kTL1 || whole.type == Type::kTL2;
        const size_t needed = whole.bytes.size() - (tail ? 28 : 0);
        Case cut = whole;
        for (size_t bytes = 0; bytes < needed; bytes += bytes < 64 ? 1 : 61) {
            cut.bytes.resize(bytes);
            cut.bytes.shrink_to_fit();
            ASSERT_NE(refusal(cut), "") << bytes;
            cut.bytes = whole.bytes;
        }
        cut.bytes.resize(needed);
        EXPECT_EQ(refusal(cut), "");
    }
}

TEST(TernaryMatrix, I2sExampleOfTheDescription) {
    Matrix weights{{1, 128}, std::vector<int8_t>(128, 0)};
    weights.digits[0] = 1;
    weights.digits[32] = -1;
    weights.digits[96] = 1;
    Bytes bytes(32, std::byte{0x55});
    bytes[0] = std::byte{0x86};
    const Case c{"example", Type::kI2_S, weights, testing::add_tail(bytes, 1.0f)};
    const auto read = read_in_steps(c, 1);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->digits, weights.digits);
}

TEST(TernaryMatrix, PackedExampleOfTheDescription) {
    const Case c{"example", Type::kPackedU8, {{8, 1}, {}}, tests::from_hex("a190")};
    const auto read = read_in_steps(c, 1);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->digits, (std::vector<int8_t>{0, -1, -1, -1, 1, 0, 1, 1}));
}

TEST(TernaryMatrix, I2sIgnoresWhatFollowsTheScale) {
    Case c = find_case("128/32");
    std::fill(c.bytes.end() - 28, c.bytes.end(), std::byte{0xEE});
    EXPECT_EQ(refusal(c), "");
}

TEST(TernaryMatrix, OldIqFilesHaveTheScaleTheyAreOpenedWith) {
    for (const auto& [name, header, group] :
         {std::tuple{"IQ1_BN", 2, 1}, {"IQ2_BN", 4, 1}, {"IQ2_BN_R4", 16, 4}}) {
        SCOPED_TRACE(name);
        Case c = find_case(name);
        const size_t step = c.bytes.size() / (c.weights.shape.rows / static_cast<size_t>(group));
        Bytes without;
        for (size_t at = 0; at < c.bytes.size(); at += step) {
            const auto from = c.bytes.begin() + static_cast<ptrdiff_t>(at);
            without.insert(without.end(), from + header, from + static_cast<ptrdiff_t>(step));
        }
        c.bytes = without;
        c.options.row_scales = RowScales::kAbsent;
        c.options.outer_scale = 3;
        EXPECT_EQ(matrix_bytes(c.type, c.weights.shape, RowScales::kAbsent).value(),
                  c.bytes.size());
        const auto read = read_in_steps(c, 100);
        ASSERT_TRUE(read.ok()) << read.error().message;
        EXPECT_EQ(read->digits, c.weights.digits);
        EXPECT_EQ(read->scales, std::vector<float>{3});
    }
}

TEST(TernaryMatrix, Code3IsRefusedWithItsPlace) {
    const std::string what = ": code 3, which stands for no ternary value";
    // Row 2, byte 5: bits 6..7, 4..5, ... hold the first, second, ... quarter of a block.
    EXPECT_EQ(refusal(with_byte(find_case("128/32"), 2 * 64 + 5, 0x43)),
              "row 2, column 101" + what);
    EXPECT_EQ(refusal(with_byte(find_case("64/16"), 3 * 48 + 16, 0xC0)), "row 3, column 64" + what);
    EXPECT_EQ(refusal(with_byte(find_case("sequential"), 25 + 1, 0x30)), "row 1, column 5" + what);
    EXPECT_EQ(refusal(with_byte(find_case("IQ2_BN"), 52 + 4 + 1, 0x0C)), "row 1, column 17" + what);
    EXPECT_EQ(refusal(with_byte(find_case("IQ2_BN_R4"), 16 + 4 + 1, 0x0C)),
              "row 1, column 5" + what);
    // Rows 0..1, 2..3, 4..5, 6..7 share the two packed rows of eight.
    EXPECT_EQ(refusal(with_byte(find_case("packed"), 100 + 7, 0x30)), "row 5, column 7" + what);
}

TEST(TernaryMatrix, SpareBitsOfTheLastPackedRowMeanNothing) {
    Case c = find_case("packed, 7 rows");  // row 7 does not exist
    c.bytes[5] |= std::byte{0xC0};
    EXPECT_EQ(refusal(c), "");
}

TEST(TernaryMatrix, Tq2Code3IsRefusedEvenInABlockOfScale0) {
    Bytes block(66, std::byte{0x55});
    block[64] = block[65] = std::byte{0};
    Case c{"TQ2_0", Type::kTQ2_0, {{1, 256}, {}}, block};
    EXPECT_EQ(refusal(c), "");
    EXPECT_EQ(refusal(with_byte(c, 33, 0x57)),
              "row 0, column 129: code 3, which stands for no ternary value");
}

TEST(TernaryMatrix, ABlockOfScale0IsZeros) {
    const Case c{"TQ2_0", Type::kTQ2_0, {{1, 256}, {}}, Bytes(66, std::byte{0})};
    const auto read = read_in_steps(c, 1);
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->digits, std::vector<int8_t>(256, 0));
    EXPECT_EQ(read->scales, std::vector<float>{0});
}

TEST(TernaryMatrix, ScalesMustBeFinite) {
    Case c = find_case("128/32");
    testing::put_value(c.bytes, c.bytes.size() - 32, std::numeric_limits<float>::quiet_NaN());
    EXPECT_EQ(refusal(c), "its scale is nan");
    c = find_case("TL1");
    testing::put_value(c.bytes, c.bytes.size() - 32, std::numeric_limits<float>::infinity());
    EXPECT_EQ(refusal(c), "its scale is inf");
    c = find_case("IQ1_BN");
    testing::put_value(c.bytes, c.bytes.size() / 8 * 3, uint16_t{0x7C00});
    EXPECT_EQ(refusal(c), "row 3: its scale is inf");
    c = find_case("IQ2_BN_R4");
    testing::put_value(c.bytes, 4 * 2, std::numeric_limits<float>::infinity());
    EXPECT_EQ(refusal(c), "row 2: its scale is inf");
    c = {"TQ1_0", Type::kTQ1_0, {{2, 256}, {}}, Bytes(108)};
    testing::put_value(c.bytes, 106, uint16_t{0xFC00});
    EXPECT_EQ(refusal(c), "row 1, column 0: its block has the scale -inf");
}

TEST(TernaryMatrix, Iq1RefusesBytesThatNoWriterMakes) {
    unsigned refused = 0;
    for (unsigned byte = 0; byte < 256; ++byte)
        refused += refusal(with_byte(find_case("IQ1_BN"), 2 + 3, byte)).empty() ? 0 : 1;
    EXPECT_EQ(refused, 13u);
    EXPECT_EQ(refusal(with_byte(find_case("IQ1_BN"), 41 + 2 + 13, 1)),
              "row 1, column 64: its block has a byte that packs no ternary digits");
}

TEST(TernaryMatrix, TilesThatCannotBeAreFoundOut) {
    EXPECT_EQ(refusal(with_byte(find_case("TL1"), 1, 0x94)),
              "row 1, column 0: pair code 9 is above 8; the tile sizes may be others");
    EXPECT_EQ(refusal(with_byte(find_case("TL1"), 1, 0x4F)),
              "row 1, column 2: pair code 15 is above 8; the tile sizes may be others");
    EXPECT_EQ(refusal(with_byte(find_case("TL2"), 9, 0xE0)),
              "row 17, column 0: index 14 is above 13; the tile sizes may be others");
    EXPECT_EQ(refusal(with_byte(find_case("TL2"), 9, 0x0F)),
              "row 17, column 3: index 15 is above 13; the tile sizes may be others");
    // 64 rows, 288 triple columns: indices to 3072, signs to 3840, pairs to 4352.
    EXPECT_EQ(refusal(with_byte(find_case("TL2"), 3840, 0x49)),
              "row 0, column 290: pair code 9 is above 8; the tile sizes may be others");
    EXPECT_EQ(refusal(with_byte(find_case("TL2"), 4352, 1)),
              "its padding holds something other than zeros; the tile sizes may be others");
    Case zeros = find_case("TL2");
    std::fill(zeros.bytes.begin(), zeros.bytes.begin() + 3072, std::byte{0});
    std::fill(zeros.bytes.begin() + 3072, zeros.bytes.begin() + 3840, std::byte{0});
    EXPECT_EQ(refusal(zeros), "");
    // The lowest bit of a word is the eighth triple of the second sixteen rows.
    EXPECT_EQ(refusal(with_byte(zeros, 3072, 1)),
              "row 16, column 21: three zeros with a minus sign; the tile sizes may be others");
}

TEST(TernaryMatrix, RowsMustBeginWithABlock) {
    const auto why = [](Type type, Shape shape, const TernaryOptions& options = {}) {
        const auto opened = open_ternary(type, shape, read_from({}), options);
        return opened.ok() ? "" : opened.error().message;
    };
    EXPECT_EQ(why(Type::kI2_S, {3200, 8640}),
              "an I2_S matrix of 3200x8640 has rows that do not begin with a block of 128");
    EXPECT_EQ(why(Type::kTQ1_0, {1, 128}),
              "a matrix of 1x128 cannot be TQ1_0: columns come in blocks of 256");
    EXPECT_EQ(why(Type::kIQ2_BN_R4, {6, 64}),
              "a matrix of 6x64 cannot be IQ2_BN_R4: rows come in groups of 4");
    EXPECT_EQ(why(Type::kQ4_0, {1, 32}), "Q4_0 is not a ternary type");
    EXPECT_EQ(why(Type::kTL1, {2560, 2560}),
              "the tile of TL1 matrices of 2560x2560 is not known and not in the file; give it as "
              "'2560x2560=BM,BK,bm'");
}

TEST(TernaryMatrix, I2sLayoutsHaveNames) {
    EXPECT_EQ(parse_i2s_layout("128/32").value(), I2sLayout::kBlocks128);
    EXPECT_EQ(parse_i2s_layout("64/16").value(), I2sLayout::kBlocks64);
    EXPECT_EQ(parse_i2s_layout("sequential").value(), I2sLayout::kSequential);
    EXPECT_EQ(parse_i2s_layout("32/128").error().message,
              "I2_S layout '32/128' is none of 128/32, 64/16, sequential");
}

}  // namespace
}  // namespace bitnetd::quant
