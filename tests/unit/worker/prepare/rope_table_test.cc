// Goal: the rotary table holds the nearest floats to cosine and sine of the angles that
// rope_table.h defines.
// Method: 80-bit libm as oracle, which is exact enough to round the same way but for ties.
#include "worker/prepare/rope_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace bitnetd::worker {
namespace {

RopeTable shape(uint32_t context, uint32_t rope_dims, double base) {
    return {.context = context, .rope_dims = rope_dims, .base = base, .factors = {}, .scaling = {}};
}

std::vector<float> filled(const RopeTable& table) {
    std::vector<float> out(size_t{table.context} * table.rope_dims);
    EXPECT_TRUE(fill_rope_table(table, 0, out).ok());
    return out;
}

// `step(pair, plain)` is the angle of one position, from that without any scaling.
template <typename Step>
void expect_table(const RopeTable& table, Step step, double length = 1) {
    const std::vector<float> out = filled(table);
    const size_t pairs = table.rope_dims / 2;
    for (size_t position = 0; position < table.context; ++position) {
        for (size_t pair = 0; pair < pairs; ++pair) {
            const long double plain =
                std::pow(static_cast<long double>(table.base),
                         -2.0L * static_cast<long double>(pair) / table.rope_dims);
            const long double angle = static_cast<long double>(position) * step(pair, plain);
            const float* row = out.data() + position * table.rope_dims;
            // The angle carries the error of a double, about position * 2^-52; a float's half place
            // is 2^-25 at most below 1, 2^-24 above.
            ASSERT_NEAR(row[pair], length * static_cast<double>(std::cos(angle)),
                        (length > 1 ? 6.5e-8 : 3.1e-8));
            ASSERT_NEAR(row[pairs + pair], length * static_cast<double>(std::sin(angle)),
                        (length > 1 ? 6.5e-8 : 3.1e-8));
        }
    }
}

constexpr auto kPlain = [](size_t, long double step) { return step; };

TEST(RopeTable, HoldsCosinesThenSines) {
    expect_table(shape(512, 64, 10'000), kPlain);
    expect_table(shape(4'096, 128, 500'000), kPlain);
}

TEST(RopeTable, IsTheSameInPieces) {
    const RopeTable table = shape(100, 8, 10'000);
    const std::vector<float> whole = filled(table);
    std::vector<float> pieces(whole.size());
    for (uint32_t first = 0; first < 100; first += 33) {
        const size_t positions = std::min<size_t>(33, 100 - first);
        ASSERT_TRUE(
            fill_rope_table(table, first, std::span(pieces).subspan(first * 8, positions * 8))
                .ok());
    }
    EXPECT_EQ(pieces, whole);
}

TEST(RopeTable, DividesByFactorsAndScalesAngles) {
    std::vector<float> factors(16);
    for (size_t i = 0; i < factors.size(); ++i)
        factors[i] = 1.0f + 0.5f * static_cast<float>(i);
    RopeTable table = shape(256, 32, 10'000);
    table.factors = factors;
    expect_table(table, [&](size_t pair, long double step) { return step / factors[pair]; });
    table.scaling = {.type = RopeScaling::Type::kLinear, .factor = 4};
    expect_table(table, [&](size_t pair, long double step) { return step / factors[pair] / 4; });
}

// The formulas of architectures.md section 1, written again.
TEST(RopeTable, StretchesByYarn) {
    RopeTable table = shape(300, 64, 10'000);
    table.scaling = {.type = RopeScaling::Type::kYarn, .factor = 4, .original_context = 2048};
    const auto correction = [](double beta) {
        return 64 * std::log(2048 / (beta * 2 * M_PI)) / (2 * std::log(10'000.0));
    };
    const double low = std::max(0.0, std::floor(correction(32)));
    const double high = std::min(63.0, std::ceil(correction(1)));
    ASSERT_LT(low, high);
    const auto step = [&](size_t pair, long double plain) {
        const double ramp =
            1 - std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
        return plain / 4 * static_cast<long double>(1 - ramp) +
               plain * static_cast<long double>(ramp);
    };
    expect_table(table, step, 1 + 0.1 * std::log(4.0));
}

TEST(RopeTable, RefusesFactorsThatAreNotAboveZero) {
    RopeTable table = shape(4, 4, 10'000);
    std::vector<float> out(16);
    for (const float bad : {0.0f, -1.0f, std::nanf("")}) {
        const std::vector<float> factors{1.0f, bad};
        table.factors = factors;
        const auto refused = fill_rope_table(table, 0, out);
        ASSERT_FALSE(refused.ok());
        EXPECT_NE(refused.error().message.find("factor 1"), std::string::npos);
    }
    const std::vector<float> tiny{1.0f, std::numeric_limits<float>::min()};
    table.factors = tiny;
    EXPECT_FALSE(fill_rope_table(table, 0, out).ok());
}

}  // namespace
}  // namespace bitnetd::worker
