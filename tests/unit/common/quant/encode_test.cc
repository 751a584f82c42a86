// Goal: encoders make the bytes that the types' own quantisers make, lose nothing they say they
// keep, and refuse what a type cannot hold.
// Method: golden inputs with their bytes; round trips through the decoders; edges of each range.
#include "common/quant/encode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "common/quant/absmean.h"
#include "common/quant/float_rows.h"
#include "common/quant/ternary_matrix.h"
#include "tests/support/golden.h"
#include "tests/unit/common/quant/packers.h"

namespace bitnetd::quant {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<std::byte> room_for(Type type, size_t elements) {
    const TypeInfo& info = info_of(type);
    return std::vector<std::byte>(elements / info.block_elements * info.block_bytes);
}

std::string why_not(Type type, const std::vector<float>& row) {
    auto out = room_for(type, row.size());
    const auto encoded = encode_floats(type, row, out);
    return encoded.ok() ? "" : encoded.error().message;
}

TEST(Encode, FloatsAsTheOriginalQuantisers) {
    for (const auto& [name, type] :
         {std::pair{"F16", Type::kF16}, {"BF16", Type::kBF16}, {"Q8_0", Type::kQ8_0}}) {
        SCOPED_TRACE(name);
        const auto file =
            tests::read_json(tests::golden_path("quant/" + std::string(name) + ".json"));
        const auto& set = file["sets"][0];
        const auto input = set["input"].get<std::vector<float>>();
        auto bytes = room_for(type, input.size());
        ASSERT_TRUE(encode_floats(type, input, bytes).ok());
        EXPECT_EQ(bytes, tests::from_hex(set["bytes_hex"]));
    }
}

TEST(Encode, TernaryAsTheOriginalQuantisers) {
    for (const auto& [name, type] : {std::pair{"TQ1_0", Type::kTQ1_0}, {"TQ2_0", Type::kTQ2_0}}) {
        SCOPED_TRACE(name);
        const auto file =
            tests::read_json(tests::golden_path("quant/" + std::string(name) + ".json"));
        const auto& set = file["sets"][0];
        const auto digits = set["digits"].get<std::vector<int8_t>>();
        const auto scales = set["scales"].get<std::vector<float>>();
        const auto columns = file["columns"].get<size_t>();
        const auto expected = tests::from_hex(set["bytes_hex"]);
        const size_t row_bytes = expected.size() / scales.size();
        for (size_t row = 0; row < scales.size(); ++row) {
            const std::vector<int8_t> some(
                digits.begin() + static_cast<ptrdiff_t>(row * columns),
                digits.begin() + static_cast<ptrdiff_t>((row + 1) * columns));
            const std::vector<std::byte> wanted(
                expected.begin() + static_cast<ptrdiff_t>(row * row_bytes),
                expected.begin() + static_cast<ptrdiff_t>((row + 1) * row_bytes));
            auto bytes = room_for(type, columns);
            ASSERT_TRUE(encode_digits(type, some, scales[row], bytes).ok());
            EXPECT_EQ(bytes, wanted) << row;
            std::vector<float> values(columns);
            for (size_t i = 0; i < columns; ++i)
                values[i] = static_cast<float>(some[i]) * scales[row];
            auto from_floats = room_for(type, columns);
            ASSERT_TRUE(encode_floats(type, values, from_floats).ok());
            EXPECT_EQ(from_floats, wanted) << row;
        }
    }
}

TEST(Encode, DigitsComeBackFromEveryType) {
    const auto matrix = testing::published_weights({1, 512});
    for (const Type type :
         {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kTQ1_0, Type::kTQ2_0}) {
        SCOPED_TRACE(name_of(type));
        const float scale = type == Type::kQ8_0 ? 127.0f / 64 : 0.75f;
        EXPECT_TRUE(scale_is_exact(type, scale));
        auto bytes = room_for(type, 512);
        ASSERT_TRUE(encode_digits(type, matrix.digits, scale, bytes).ok());
        std::vector<float> values(512);
        decode_floats(type, bytes, values);
        for (size_t i = 0; i < values.size(); ++i)
            ASSERT_EQ(values[i], static_cast<float>(matrix.digits[i]) * scale) << i;
    }
}

TEST(Encode, I2sRoundTripKeepsAnyScale) {
    const auto matrix = testing::published_weights({3, 384});
    std::vector<std::byte> bytes(matrix.digits.size() / 4);
    ASSERT_TRUE(encode_digits(Type::kI2_S, matrix.digits, 0.1f, bytes).ok());
    const auto tail = i2_s_tail(0.1f);
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    ASSERT_EQ(bytes.size(), matrix_bytes(Type::kI2_S, matrix.shape).value());
    const auto opened = open_ternary(Type::kI2_S, matrix.shape, read_from(bytes), {});
    ASSERT_TRUE(opened.ok());
    std::vector<int8_t> digits(matrix.digits.size());
    float scale = 0;
    ASSERT_TRUE((*opened)->read_rows(0, 3, digits, {&scale, 1}).ok());
    EXPECT_EQ(digits, matrix.digits);
    EXPECT_EQ(scale, 0.1f);
    EXPECT_TRUE(scale_is_exact(Type::kI2_S, 0.1f));
    EXPECT_FALSE(scale_is_exact(Type::kTQ2_0, 0.1f));
    EXPECT_FALSE(scale_is_exact(Type::kBF16, 0.1f));
}

TEST(Encode, Q8RoundsHalvesAwayFromZero) {
    std::vector<float> row(32, 0.0f);
    row[0] = 127;
    row[1] = 2.5f;
    row[2] = -2.5f;
    row[3] = 0.49f;
    auto bytes = room_for(Type::kQ8_0, 32);
    ASSERT_TRUE(encode_floats(Type::kQ8_0, row, bytes).ok());
    EXPECT_EQ(static_cast<int8_t>(bytes[3]), 3);
    EXPECT_EQ(static_cast<int8_t>(bytes[4]), -3);
    EXPECT_EQ(static_cast<int8_t>(bytes[5]), 0);
}

TEST(Encode, BlocksOfNothingAreZeros) {
    for (const Type type : {Type::kQ8_0, Type::kTQ1_0, Type::kTQ2_0}) {
        SCOPED_TRACE(name_of(type));
        for (const float tiny : {0.0f, 1e-44f}) {
            auto bytes = room_for(type, 256);
            ASSERT_TRUE(encode_floats(type, std::vector<float>(256, tiny), bytes).ok());
            std::vector<float> values(256);
            decode_floats(type, bytes, values);
            EXPECT_EQ(values, std::vector<float>(256, 0.0f));
        }
    }
}

TEST(Encode, WhatDoesNotFitIsNamed) {
    std::vector<float> row(256, 1.0f);
    row[40] = 1e30f;
    EXPECT_EQ(why_not(Type::kF16, row), "element 40, 1.00000002e+30, is beyond the range of F16");
    EXPECT_EQ(why_not(Type::kBF16, row), "");
    EXPECT_EQ(why_not(Type::kQ8_0, row),
              "element 32, 1, or one of its block, is beyond the range of Q8_0");
    EXPECT_EQ(why_not(Type::kTQ2_0, row),
              "element 0, 1, or one of its block, is beyond the range of TQ2_0");
    row[40] = std::numeric_limits<float>::max();
    EXPECT_EQ(why_not(Type::kBF16, row), "element 40, 3.40282347e+38, is beyond the range of BF16");
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kTQ1_0}) {
        row[40] = -kInfinity;
        EXPECT_EQ(why_not(type, row), "element 40 is -inf");
        row[40] = std::numeric_limits<float>::quiet_NaN();
        EXPECT_EQ(why_not(type, row), "element 40 is nan");
    }
}

TEST(Encode, ScalesThatDoNotFitAreNamed) {
    const std::vector<int8_t> digits(256, 1);
    const auto why = [&](Type type, float scale) {
        std::vector<std::byte> out = room_for(type, 256);
        const auto encoded = encode_digits(type, digits, scale, out);
        return encoded.ok() ? "" : encoded.error().message;
    };
    EXPECT_EQ(why(Type::kTQ1_0, 70000), "the scale 70000 is beyond the range of TQ1_0");
    EXPECT_EQ(why(Type::kTQ1_0, 1e-9f), "the scale 9.99999972e-10 is beyond the range of TQ1_0");
    EXPECT_EQ(why(Type::kQ8_0, 1e-6f), "the scale 9.99999997e-07 is beyond the range of Q8_0");
    EXPECT_EQ(why(Type::kI2_S, 1e-9f), "");
    EXPECT_EQ(why(Type::kI2_S, -1), "the scale is -1; it must be finite and not negative");
    EXPECT_EQ(why(Type::kI2_S, kInfinity), "the scale is inf; it must be finite and not negative");
    EXPECT_EQ(why(Type::kTQ2_0, 0), "");
}

TEST(AbsMean, WorkedExample) {
    AbsMean mean;
    mean.add(std::vector<float>{1, -3});
    mean.add(std::vector<float>{0, 4});
    EXPECT_EQ(mean.value(), 2.0f);
    std::vector<int8_t> digits(7);
    // Exactly half the mean is a tie and goes to the even 0.
    ternarise(std::vector<float>{1, -1, 1.0001f, -1.0001f, 0, 3.5f, -100}, 2.0f, digits);
    EXPECT_EQ(digits, (std::vector<int8_t>{0, 0, 1, -1, 0, 1, -1}));
}

TEST(AbsMean, ScaleIsRoundedToTheCheckpointsType) {
    EXPECT_EQ(ternary_scale(0.1f, Type::kF32), 0.1f);
    EXPECT_EQ(ternary_scale(0.1f, Type::kBF16), 0.10009765625f);
    EXPECT_EQ(ternary_scale(0.1f, Type::kF16), 0.0999755859375f);
}

TEST(AbsMean, HasAFloor) {
    AbsMean mean;
    mean.add(std::vector<float>(10, 0.0f));
    EXPECT_EQ(mean.value(), 1e-5f);
}

TEST(AbsMean, AgreesWithTheFormula) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 0.02f);
    std::vector<float> values(4096);
    for (float& x : values)
        x = normal(random);
    AbsMean mean;
    mean.add(values);
    std::vector<int8_t> digits(values.size());
    ternarise(values, mean.value(), digits);
    for (size_t i = 0; i < values.size(); ++i) {
        const float rounded = std::nearbyint(values[i] * (1.0f / mean.value()));
        ASSERT_EQ(digits[i], static_cast<int>(std::clamp(rounded, -1.0f, 1.0f))) << i;
    }
}

}  // namespace
}  // namespace bitnetd::quant
