// Goal: statistics are those of all values, read in parts or not, and a value that cannot be is an
// error that names its place.
// Method: tensors made of known values, small ones by hand and one of several parts.
#include "worker/inspect/tensor_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/unit/worker/inspect/made_model.h"

namespace bitnetd::worker {
namespace {

using quant::Type;
using test::MadeModel;

struct Measured {
    Result<TensorStatistics> statistics;
    uint64_t told_bytes;
};

Measured measure_first(const MadeModel& model, bool as_ternary = false) {
    const auto input = model.open();
    uint64_t told = 0;
    auto statistics = measure(*input, input->tensors().front(), as_ternary,
                              [&](uint64_t bytes) { told += bytes; });
    return {std::move(statistics), told};
}

MadeModel floats(Type type, quant::Shape shape, const std::vector<float>& values) {
    MadeModel model;
    model.add_floats("t", type, shape, values);
    return model;
}

TEST(TensorStatistics, FloatsByHand) {
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) {
        const auto measured = measure_first(floats(type, {2, 2}, {-3, 1, 5, 1}));
        ASSERT_TRUE(measured.statistics.ok()) << measured.statistics.error().message;
        const auto& found = std::get<FloatStatistics>(*measured.statistics);
        EXPECT_EQ(found.min, -3);
        EXPECT_EQ(found.max, 5);
        EXPECT_DOUBLE_EQ(found.mean, 1);
        EXPECT_DOUBLE_EQ(found.deviation, std::sqrt((16 + 0 + 16 + 0) / 4.0));
    }
}

TEST(TensorStatistics, ConstantValuesHaveNoDeviation) {
    const auto measured = measure_first(floats(Type::kF32, {1, 3}, {0.1f, 0.1f, 0.1f}));
    const auto& found = std::get<FloatStatistics>(*measured.statistics);
    EXPECT_EQ(found.min, found.max);
    EXPECT_NEAR(found.deviation, 0, 1e-8);
}

TEST(TensorStatistics, TernaryDigitsAndScales) {
    const quant::Shape shape{4, 256};
    const auto digits = test::some_digits(shape, 7);
    for (const Type type : {Type::kI2_S, Type::kTQ1_0, Type::kTQ2_0}) {
        MadeModel model;
        model.add_ternary("t", type, shape, digits, {0.75f});
        const auto measured = measure_first(model);
        ASSERT_TRUE(measured.statistics.ok()) << measured.statistics.error().message;
        const auto& found = std::get<TernaryStatistics>(*measured.statistics);
        for (const int digit : {-1, 0, 1}) {
            EXPECT_EQ(found.digits[static_cast<size_t>(digit + 1)],
                      static_cast<uint64_t>(std::count(digits.begin(), digits.end(), digit)));
        }
        EXPECT_EQ(found.scale_min, 0.75f);
        EXPECT_EQ(found.scale_max, 0.75f);
        EXPECT_EQ(found.scales, type == Type::kI2_S ? 1u : 4u);
    }
}

TEST(TensorStatistics, ScalesOfZerosAreLeftOut) {
    const quant::Shape shape{3, 256};
    auto digits = test::some_digits(shape, 8);
    std::fill(digits.begin(), digits.begin() + 256, int8_t{0});
    MadeModel model;
    model.add_ternary("t", Type::kTQ2_0, shape, digits, {1.0f, 0.5f, 2.0f});
    const auto measured = measure_first(model);
    const auto& found = std::get<TernaryStatistics>(*measured.statistics);
    EXPECT_EQ(found.scales, 3u);
    EXPECT_EQ(found.scale_min, 0.5f);
    EXPECT_EQ(found.scale_max, 2.0f);
}

// More rows than are read at once.
TEST(TensorStatistics, PartsAddUp) {
    const quant::Shape shape{kPartElements / 256 * 2 + 3, 256};
    const auto digits = test::some_digits(shape, 9);
    MadeModel ternary;
    ternary.add_ternary("t", Type::kI2_S, shape, digits, {2.0f});
    const auto measured = measure_first(ternary);
    const auto& found = std::get<TernaryStatistics>(*measured.statistics);
    EXPECT_EQ(found.count(), digits.size());
    EXPECT_EQ(found.digits[2], static_cast<uint64_t>(std::count(digits.begin(), digits.end(), 1)));
    EXPECT_EQ(found.scales, 1u);
    EXPECT_EQ(measured.told_bytes, *quant::matrix_bytes(Type::kI2_S, shape));

    std::vector<float> values(shape.rows * shape.columns, 1.0f);
    values.back() = 9;
    const auto whole = measure_first(floats(Type::kF16, shape, values));
    EXPECT_EQ(std::get<FloatStatistics>(*whole.statistics).max, 9);
    EXPECT_EQ(whole.told_bytes, values.size() * 2);
}

TEST(TensorStatistics, FloatsThatMustBeTernary) {
    const MadeModel good = floats(Type::kF16, {2, 4}, {0, 0, 0, 0, 0.5f, -0.5f, 0, 0.5f});
    const auto measured = measure_first(good, true);
    ASSERT_TRUE(measured.statistics.ok()) << measured.statistics.error().message;
    const auto& found = std::get<TernaryStatistics>(*measured.statistics);
    EXPECT_EQ(found.digits, (std::array<uint64_t, 3>{1, 5, 2}));
    EXPECT_EQ(found.scale_max, 0.5f);

    const auto bad = measure_first(floats(Type::kF16, {1, 3}, {0.5f, 0, 0.25f}), true);
    ASSERT_FALSE(bad.statistics.ok());
    EXPECT_NE(bad.statistics.error().message.find("not a ternary matrix"), std::string::npos);
}

TEST(TensorStatistics, ValuesThatAreNotFiniteAreRefused) {
    MadeModel model;
    std::vector<std::byte> data(8);
    const float values[] = {1, std::numeric_limits<float>::quiet_NaN()};
    std::memcpy(data.data(), values, sizeof values);
    model.writer.add_tensor("t", std::vector<uint64_t>{2}, Type::kF32);
    const auto bytes = model.writer.file(std::vector<std::vector<std::byte>>{data});
    const auto input = test::open_bytes(bytes);
    ASSERT_TRUE(input.ok());
    const auto statistics = measure(**input, (*input)->tensors().front(), false, [](uint64_t) {});
    ASSERT_FALSE(statistics.ok());
    EXPECT_NE(statistics.error().message.find("column 1"), std::string::npos)
        << statistics.error().message;
}

TEST(RowsPerPart, AreWholeSteps) {
    EXPECT_EQ(rows_per_part({10, 256}, 1), kPartElements / 256);
    EXPECT_EQ(rows_per_part({10, kPartElements * 4}, 1), 1u);
    EXPECT_EQ(rows_per_part({1024, 4096}, 160), 160u);
    EXPECT_EQ(rows_per_part({1024, 1024}, 3) % 3, 0u);
}

}  // namespace
}  // namespace bitnetd::worker
