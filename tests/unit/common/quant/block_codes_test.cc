// Goal: block types come apart into codes, scales and factors that give the format's floats to the
//       last bit, and every number lies within the bounds that packed forms rely on.
// Method: golden rows (quantised and random bytes, floats made by another program) put together
//       again as block_codes.h says, in the test's own words.
#include "common/quant/block_codes.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "common/quant/float_rows.h"
#include "common/quant/half.h"
#include "tests/support/golden.h"

namespace bitnetd::quant {
namespace {

struct NamedType {
    const char* name;
    Type type;
};

constexpr NamedType kBlockTypes[] = {
    {"Q8_0", Type::kQ8_0}, {"Q4_0", Type::kQ4_0}, {"Q4_1", Type::kQ4_1}, {"Q5_0", Type::kQ5_0},
    {"Q5_1", Type::kQ5_1}, {"Q2_K", Type::kQ2_K}, {"Q3_K", Type::kQ3_K}, {"Q4_K", Type::kQ4_K},
    {"Q5_K", Type::kQ5_K}, {"Q6_K", Type::kQ6_K}, {"Q1_0", Type::kQ1_0}, {"Q2_0", Type::kQ2_0},
};

class BlockCodesOf : public ::testing::TestWithParam<NamedType> {};

float joined(const BlockForm& form, const BlockCodes& row, size_t i) {
    const size_t unit = i / form.unit;
    const size_t group = i / form.group;
    const float factor = half_to_float(row.d[unit]) * static_cast<float>(row.scales[group]);
    const float product = factor * static_cast<float>(row.codes[i]);
    if (!form.has_offsets) return product;
    return product + half_to_float(row.m[unit]) * static_cast<float>(row.minima[group]);
}

void expect_bounds(const BlockForm& form, const BlockCodes& row, size_t columns) {
    ASSERT_EQ(row.codes.size(), columns);
    ASSERT_EQ(row.d.size(), columns / form.unit);
    ASSERT_EQ(row.m.size(), columns / form.unit);
    ASSERT_EQ(row.scales.size(), columns / form.group);
    ASSERT_EQ(row.minima.size(), columns / form.group);
    for (const int8_t code : row.codes) {
        ASSERT_GE(code, form.code_min);
        ASSERT_LE(code, form.code_max);
    }
    for (size_t g = 0; g < row.scales.size(); ++g) {
        ASSERT_TRUE(form.has_scales || row.scales[g] == 1);
        ASSERT_TRUE(form.has_offsets || row.minima[g] == 0);
    }
}

TEST_P(BlockCodesOf, GoldenValuesComeTogetherAgain) {
    const Type type = GetParam().type;
    const BlockForm* form = block_form(type);
    ASSERT_NE(form, nullptr);
    const auto file =
        tests::read_json(tests::golden_path("quant/" + std::string(GetParam().name) + ".json"));
    const auto row_bytes = file["row_bytes"].get<size_t>();
    const auto columns = file["columns"].get<size_t>();
    BlockCodes row;  // one for all rows: nothing of an earlier row may stay
    for (const auto& set : file["sets"]) {
        const auto bytes = tests::from_hex(set["bytes_hex"]);
        const auto values = set["values"].get<std::vector<float>>();
        for (size_t r = 0; r < file["rows"].get<size_t>(); ++r) {
            split_row(type, std::span(bytes).subspan(r * row_bytes, row_bytes), columns, row);
            expect_bounds(*form, row, columns);
            for (size_t i = 0; i < columns; ++i) {
                ASSERT_EQ(std::bit_cast<uint32_t>(joined(*form, row, i)),
                          std::bit_cast<uint32_t>(values[r * columns + i]))
                    << set["name"] << " row " << r << " element " << i;
            }
        }
    }
}

// Both extremes of the codes occur, so that the bounds are the type's and not just bounds.
TEST_P(BlockCodesOf, BoundsAreReached) {
    const TypeInfo& info = info_of(GetParam().type);
    const BlockForm& form = *block_form(GetParam().type);
    int lowest = 127;
    int highest = -128;
    BlockCodes row;
    for (int byte = 0; byte < 256; ++byte) {
        const std::vector<std::byte> block(info.block_bytes, static_cast<std::byte>(byte));
        split_row(GetParam().type, block, info.block_elements, row);
        expect_bounds(form, row, info.block_elements);
        for (const int8_t code : row.codes) {
            lowest = std::min<int>(lowest, code);
            highest = std::max<int>(highest, code);
        }
    }
    EXPECT_EQ(lowest, form.code_min);
    EXPECT_EQ(highest, form.code_max);
}

INSTANTIATE_TEST_SUITE_P(Types, BlockCodesOf, ::testing::ValuesIn(kBlockTypes),
                         [](const auto& type) { return std::string(type.param.name); });

TEST(BlockForm, OtherTypesHaveNone) {
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kI8, Type::kTQ1_0,
                            Type::kTQ2_0, Type::kI2_S, Type::kTL1, Type::kIQ2_BN, Type::kMXFP4}) {
        EXPECT_EQ(block_form(type), nullptr) << name_of(type);
    }
}

}  // namespace
}  // namespace bitnetd::quant
