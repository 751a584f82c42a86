// Goal: the filters keep the sets that formats/sampling.md works out, in its order.
// Method: its examples on z = (2, 1.5, 1, 0.5, 0), ties, edges, and random distributions against a
// plain full-sort implementation.
#include "worker/sampler/candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>

namespace bitnetd::worker {
namespace {

const std::vector<float> kExample = {2.0f, 1.5f, 1.0f, 0.5f, 0.0f};

std::vector<uint32_t> kept_ids(const SamplingParams& params, const std::vector<float>& logits) {
    std::vector<Candidate> kept;
    kept.reserve(logits.size());
    filter_candidates(params, logits, *std::max_element(logits.begin(), logits.end()), kept);
    std::vector<uint32_t> ids;
    for (const Candidate& candidate : kept)
        ids.push_back(candidate.id);
    std::sort(ids.begin(), ids.end());
    return ids;
}

size_t kept_count(const SamplingParams& params) {
    return kept_ids(params, kExample).size();
}

TEST(Candidates, TopPAfterTheTemperature) {
    EXPECT_EQ(kept_count({.temperature = 1, .top_p = 0.9f}), 4u);
    EXPECT_EQ(kept_count({.temperature = 2, .top_p = 0.9f}), 5u);
    EXPECT_EQ(kept_count({.temperature = 0.5f, .top_p = 0.9f}), 3u);
}

TEST(Candidates, MinPAfterTheTemperature) {
    EXPECT_EQ(kept_count({.temperature = 1, .min_p = 0.3f}), 3u);
    EXPECT_EQ(kept_count({.temperature = 2, .min_p = 0.3f}), 5u);
    EXPECT_EQ(kept_count({.temperature = 0.5f, .min_p = 0.3f}), 2u);
    EXPECT_EQ(kept_count({.min_p = 1}), 1u);
}

// The entropy of the example is 1.3943 and the order of ids 1, 2, 0, 3, 4.
TEST(Candidates, TypicalRanksByDistanceFromTheEntropy) {
    EXPECT_EQ(kept_ids({.typical_p = 0.01f}, kExample), (std::vector<uint32_t>{1}));
    EXPECT_EQ(kept_ids({.typical_p = 0.4f}, kExample), (std::vector<uint32_t>{1, 2}));
    EXPECT_EQ(kept_ids({.typical_p = 0.5f}, kExample), (std::vector<uint32_t>{0, 1, 2}));
    EXPECT_EQ(kept_ids({.typical_p = 0.9f}, kExample), (std::vector<uint32_t>{0, 1, 2, 3}));
}

TEST(Candidates, TopKKeepsExactlyKAndTheLowestIdsOfEqualLogits) {
    const std::vector<float> logits = {1, 3, 2, 3, 2, 2};
    EXPECT_EQ(kept_ids({.top_k = 1}, logits), (std::vector<uint32_t>{1}));
    EXPECT_EQ(kept_ids({.top_k = 3}, logits), (std::vector<uint32_t>{1, 2, 3}));
    EXPECT_EQ(kept_ids({.top_k = 4}, logits), (std::vector<uint32_t>{1, 2, 3, 4}));
    EXPECT_EQ(kept_ids({.top_k = 99}, logits).size(), 6u);
}

TEST(Candidates, TopPIsOfWhatTopKLeft) {
    // Of (2, 1.5) alone the first has 0.62: it suffices for 0.6. Of all five it has 0.42.
    EXPECT_EQ(kept_ids({.top_p = 0.6f, .top_k = 2}, kExample), (std::vector<uint32_t>{0}));
    EXPECT_EQ(kept_ids({.top_p = 0.6f}, kExample), (std::vector<uint32_t>{0, 1}));
}

TEST(Candidates, AlwaysKeepsOne) {
    EXPECT_EQ(kept_ids({.top_p = 0}, kExample), (std::vector<uint32_t>{0}));
    EXPECT_EQ(kept_ids({.typical_p = 0}, kExample), (std::vector<uint32_t>{1}));
    EXPECT_EQ(kept_ids({.temperature = 1e-30f, .top_p = 0.5f}, kExample),
              (std::vector<uint32_t>{0}));
}

TEST(Candidates, KnowsWhetherAnyFilterIsOn) {
    EXPECT_FALSE(has_filters({}, 5));
    EXPECT_FALSE(has_filters({.top_k = 5}, 5));
    EXPECT_TRUE(has_filters({.top_k = 4}, 5));
    EXPECT_TRUE(has_filters({.min_p = 0.1f}, 5));
    EXPECT_TRUE(has_filters({.typical_p = 0.9f}, 5));
    EXPECT_TRUE(has_filters({.top_p = 0.9f}, 5));
}

TEST(Candidates, TopPEqualsAFullSortOnRandomDistributions) {
    constexpr uint64_t kSeed = 11;
    std::printf("seed %lu\n", kSeed);
    std::mt19937_64 random(kSeed);
    for (int round = 0; round < 300; ++round) {
        std::normal_distribution<float> normal(0, 0.1f + 0.02f * static_cast<float>(round));
        std::vector<float> logits(1 + random() % 2000);
        for (float& z : logits)
            z = normal(random);
        const float top_p = std::uniform_real_distribution<float>(0.05f, 0.999f)(random);
        std::vector<uint32_t> order(logits.size());
        std::iota(order.begin(), order.end(), 0u);
        std::stable_sort(order.begin(), order.end(),
                         [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
        double total = 0;
        for (const float z : logits)
            total += std::exp(static_cast<double>(z));
        double sum = 0;
        size_t expected = 0;
        while (expected < order.size() && sum < top_p * total) {
            sum += std::exp(static_cast<double>(logits[order[expected++]]));
        }
        order.resize(expected);
        std::sort(order.begin(), order.end());
        ASSERT_EQ(kept_ids({.top_p = top_p}, logits), order) << "round " << round;
    }
}

}  // namespace
}  // namespace bitnetd::worker
