// Goal: draws follow softmax(z / T), depend on (seed, position, id) alone, and the bound that skips
// logarithms never changes a result.
// Method: a chi-square test over fixed seeds, and every shortcut against the plain formula.
#include "worker/sampler/gumbel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>

#include "worker/sampler/sampler.h"

namespace bitnetd::worker {
namespace {

// The definition, without shortcuts.
uint32_t plain_draw(const SamplingParams& params, uint32_t position,
                    const std::vector<float>& logits) {
    const float largest = *std::max_element(logits.begin(), logits.end());
    uint32_t best = 0;
    double best_value = -std::numeric_limits<double>::infinity();
    for (uint32_t id = 0; id < logits.size(); ++id) {
        const double value = scale_logit(logits[id], largest, params.temperature) +
                             gumbel_noise(params.seed, position, id);
        if (value > best_value) {
            best_value = value;
            best = id;
        }
    }
    return best;
}

TEST(Gumbel, TheBoundNeverChangesTheDraw) {
    constexpr uint64_t kSeed = 3;
    std::printf("seed %lu\n", kSeed);
    std::mt19937_64 random(kSeed);
    for (uint32_t round = 0; round < 3000; ++round) {
        std::normal_distribution<float> normal(0, 0.01f * static_cast<float>(round % 700));
        std::vector<float> logits(1 + random() % 300);
        for (float& z : logits)
            z = normal(random);
        const SamplingParams params = {.seed = random(), .temperature = 0.9f};
        const float largest = *std::max_element(logits.begin(), logits.end());
        ASSERT_EQ(draw_gumbel(params, round, logits, largest), plain_draw(params, round, logits));
        std::vector<Candidate> all;
        for (uint32_t id = 0; id < logits.size(); ++id) {
            all.push_back({scale_logit(logits[id], largest, params.temperature), 0, 0, id});
        }
        std::shuffle(all.begin(), all.end(), random);
        ASSERT_EQ(draw_gumbel(params, round, all), plain_draw(params, round, logits));
    }
}

TEST(Gumbel, NoiseIsFiniteAndDependsOnEveryArgument) {
    const double noise = gumbel_noise(1, 2, 3);
    EXPECT_TRUE(std::isfinite(noise));
    EXPECT_EQ(noise, gumbel_noise(1, 2, 3));
    EXPECT_NE(noise, gumbel_noise(2, 2, 3));
    EXPECT_NE(noise, gumbel_noise(uint64_t{1} << 32 | 1, 2, 3));
    EXPECT_NE(noise, gumbel_noise(1, 3, 3));
    EXPECT_NE(noise, gumbel_noise(1, 2, 2));
    EXPECT_NE(noise, gumbel_noise(1, 2, 4));
}

// 99.9 % quantiles of chi-square; the seeds are fixed, so this passes or fails for ever.
double chi_square(const SamplingParams& base, const std::vector<float>& logits,
                  const std::vector<double>& expected) {
    constexpr uint32_t kDraws = 40'000;
    Sampler sampler(static_cast<uint32_t>(logits.size()));
    std::vector<uint32_t> counts(logits.size());
    SamplingParams params = base;
    const std::vector<uint32_t> ids(50);
    Drawn drawn;
    for (uint32_t i = 0; i < kDraws; ++i) {
        // Half of the variation comes from the seed, half from the position.
        params.seed = base.seed + i / 40;
        sampler.draw(params, {std::span(ids).first(1 + i % 40), 1, {}, {}}, logits,
                     LogitsKind::kAll, drawn);
        ++counts[drawn.token];
    }
    double sum = 0;
    for (size_t id = 0; id < logits.size(); ++id) {
        const double mean = expected[id] * kDraws;
        if (mean == 0) {
            EXPECT_EQ(counts[id], 0u) << "a filtered token was drawn";
            continue;
        }
        sum += (counts[id] - mean) * (counts[id] - mean) / mean;
    }
    return sum;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature, size_t kept) {
    std::vector<double> p(logits.size());
    double total = 0;
    for (size_t i = 0; i < kept; ++i)
        total += p[i] = std::exp(logits[i] / temperature);
    for (double& value : p)
        value /= total;
    return p;
}

TEST(Gumbel, DrawsFollowTheSoftmax) {
    const std::vector<float> logits = {2.0f, 1.5f, 1.0f, 0.5f, 0.0f, -1.0f, -1.5f, -2.0f};
    EXPECT_LT(chi_square({.seed = 1}, logits, softmax(logits, 1, 8)), 24.3);  // 7 degrees
    EXPECT_LT(chi_square({.seed = 2, .temperature = 2}, logits, softmax(logits, 2, 8)), 24.3);
    EXPECT_LT(chi_square({.seed = 3, .top_k = 4}, logits, softmax(logits, 1, 4)), 16.3);
    // The test must be able to fail: draws at another temperature are far off.
    EXPECT_GT(chi_square({.seed = 1, .temperature = 1.1f}, logits, softmax(logits, 1, 8)), 24.3);
}

TEST(Gumbel, EqualLogitsAreEquallyLikely) {
    const std::vector<float> logits(40, 0.25f);
    EXPECT_LT(chi_square({.seed = 9}, logits, softmax(logits, 1, 40)), 72.1);  // 39 degrees
}

}  // namespace
}  // namespace bitnetd::worker
