// Goal: the rotary table holds the nearest floats to cosine and sine of the angles that
// rope_table.h defines.
// Method: 80-bit libm as oracle, which is exact enough to round the same way but for ties.
#include "worker/prepare/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace bitnetd::worker {
namespace {

Hyperparameters shape(uint32_t context, uint32_t rope_dims, double base) {
    Hyperparameters model;
    model.context = context;
    model.rope_dims = rope_dims;
    model.rope_base = base;
    return model;
}

void expect_table(const Hyperparameters& model, const std::vector<float>& factors) {
    std::vector<float> table(size_t{model.context} * model.rope_dims);
    ASSERT_TRUE(fill_rope_table(model, factors, table).ok());
    const size_t pairs = model.rope_dims / 2;
    for (size_t position = 0; position < model.context; ++position) {
        for (size_t pair = 0; pair < pairs; ++pair) {
            const long double step =
                std::pow(static_cast<long double>(model.rope_base),
                         -2.0L * static_cast<long double>(pair) / model.rope_dims) *
                static_cast<long double>(model.rope_angle_factor) /
                (factors.empty() ? 1.0L : static_cast<long double>(factors[pair]));
            const long double angle = static_cast<long double>(position) * step;
            const float* row = table.data() + position * model.rope_dims;
            // The angle carries the error of a double, about position * 2^-52; a float's half place
            // is 2^-25 at most.
            ASSERT_NEAR(row[pair], static_cast<double>(std::cos(angle)), 3.1e-8);
            ASSERT_NEAR(row[pairs + pair], static_cast<double>(std::sin(angle)), 3.1e-8);
        }
    }
}

TEST(RopeTable, HoldsCosinesThenSines) {
    expect_table(shape(512, 64, 10'000), {});
    expect_table(shape(4'096, 128, 500'000), {});
}

TEST(RopeTable, DividesByFactorsAndScalesAngles) {
    std::vector<float> factors(16);
    for (size_t i = 0; i < factors.size(); ++i)
        factors[i] = 1.0f + 0.5f * static_cast<float>(i);
    Hyperparameters model = shape(256, 32, 10'000);
    expect_table(model, factors);
    model.rope_angle_factor = 0.25;
    expect_table(model, factors);
}

TEST(RopeTable, RefusesFactorsThatAreNotAboveZero) {
    const Hyperparameters model = shape(4, 4, 10'000);
    std::vector<float> table(16);
    for (const float bad : {0.0f, -1.0f, std::nanf("")}) {
        const std::vector<float> factors{1.0f, bad};
        const auto filled = fill_rope_table(model, factors, table);
        ASSERT_FALSE(filled.ok());
        EXPECT_NE(filled.error().message.find("factor 1"), std::string::npos);
    }
    const std::vector<float> tiny{1.0f, std::numeric_limits<float>::min()};
    EXPECT_FALSE(fill_rope_table(model, tiny, table).ok());
}

}  // namespace
}  // namespace bitnetd::worker
