// Goal: the sampler applies bias, mask, penalties and greedy choice as formats/sampling.md defines
// them, and refuses logits that are not numbers.
// Method: small vocabularies with results worked out by hand.
#include "worker/sampler/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace bitnetd::worker {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Case {
    std::vector<float> logits;
    SamplingParams params = {.temperature = 0};
    std::vector<uint32_t> ids = {0};
    uint32_t prompt_count = 1;
    std::vector<shm::LogitBias> bias = {};
    std::vector<uint32_t> end_ids = {};
};

Drawn draw(const Case& c) {
    Sampler sampler(static_cast<uint32_t>(c.logits.size()));
    Drawn drawn;
    sampler.draw(c.params, {c.ids, c.prompt_count, c.bias, c.end_ids}, c.logits, LogitsKind::kAll,
                 drawn);
    return drawn;
}

std::vector<float> adjusted(Case c) {
    Adjuster adjuster(static_cast<uint32_t>(c.logits.size()));
    for (int i = 0; i < 2; ++i) {  // twice: nothing may be left over from the first time
        std::vector<float> logits = c.logits;
        adjuster.apply(c.params, {c.ids, c.prompt_count, c.bias, c.end_ids}, logits);
        if (i == 1) return logits;
    }
    return {};
}

TEST(Sampler, GreedyTakesTheLowestIdOfEqualLogits) {
    EXPECT_EQ(draw({.logits = {1, 7, 7, 3}}).token, 1u);
    EXPECT_EQ(draw({.logits = {-2, -3, -1, -1}}).token, 2u);
}

TEST(Sampler, RefusesLogitsThatAreNotFinite) {
    EXPECT_FALSE(draw({.logits = {1, NAN, 2}}).valid);
    EXPECT_FALSE(draw({.logits = {1, 2, kInfinity}}).valid);
    EXPECT_FALSE(draw({.logits = {-kInfinity, 1, 2}}).valid);
    EXPECT_FALSE(draw({.logits = {NAN, NAN}, .params = {.temperature = 1}}).valid);
    EXPECT_TRUE(draw({.logits = {1, 2, -3e38f}}).valid);
}

TEST(Sampler, RefusesWhenEveryTokenIsRuledOut) {
    Case c = {.logits = {1, 2}, .end_ids = {0, 1}};
    c.params.ignore_eos = true;
    EXPECT_FALSE(draw(c).valid);
}

TEST(Sampler, IgnoreEosKeepsEndIdsFromBeingDrawn) {
    Case c = {.logits = {1, 9, 8, 2}, .end_ids = {1, 2}};
    EXPECT_EQ(draw(c).token, 1u);
    c.params.ignore_eos = true;
    EXPECT_EQ(draw(c).token, 3u);
    c.bias = {{1, 100}};  // no bias brings a masked one back
    EXPECT_EQ(draw(c).token, 3u);
}

TEST(Sampler, BiasIsAddedAndDuplicatesAddUp) {
    EXPECT_EQ(draw({.logits = {1, 2, 3}, .bias = {{0, 1.5f}, {0, 1.0f}}}).token, 0u);
    EXPECT_EQ(draw({.logits = {1, 2, 3}, .bias = {{2, -100}}}).token, 1u);
}

TEST(Sampler, RepetitionPenaltyCountsPromptAndOutputOnce) {
    Case c = {.logits = {4, -4, 4, 4}, .ids = {0, 1, 0, 2, 2}, .prompt_count = 3};
    c.params.repetition_penalty = 2;
    EXPECT_EQ(adjusted(c), (std::vector<float>{2, -8, 2, 4}));
}

TEST(Sampler, FrequencyAndPresenceCountTheOutputOnly) {
    Case c = {.logits = {4, 4, 4, 4}, .ids = {0, 0, 1, 2, 2, 2}, .prompt_count = 2};
    c.params.frequency_penalty = 0.5f;
    c.params.presence_penalty = 0.25f;
    EXPECT_EQ(adjusted(c), (std::vector<float>{4, 3.25f, 2.25f, 4}));
}

TEST(Sampler, PenaltiesComeAfterTheBiasAndFrequencyAfterRepetition) {
    Case c = {.logits = {1, 0}, .ids = {1, 0}, .prompt_count = 1, .bias = {{0, 3}}};
    c.params.repetition_penalty = 2;
    c.params.frequency_penalty = 1;
    EXPECT_EQ(adjusted(c), (std::vector<float>{1, 0}));  // (1 + 3) / 2 - 1
}

TEST(Sampler, LogprobsAreOfTheRawLogits) {
    Case c = {.logits = {2, 1.5f, 1, 0.5f, 0}, .bias = {{4, 50}}};
    c.params.wants_logprobs = true;
    c.params.alternatives_count = 2;
    const Drawn drawn = draw(c);
    EXPECT_EQ(drawn.token, 4u);
    const double log_sum = std::log(std::exp(2) + std::exp(1.5) + std::exp(1) + std::exp(0.5) + 1);
    EXPECT_NEAR(drawn.scores.logprob, -log_sum, 1e-6);
    ASSERT_EQ(drawn.scores.alternatives_count, 2u);
    EXPECT_EQ(drawn.scores.alternatives[0].token, 0u);
    EXPECT_NEAR(drawn.scores.alternatives[0].logprob, 2 - log_sum, 1e-6);
    EXPECT_EQ(drawn.scores.alternatives[1].token, 1u);
}

TEST(Sampler, AlternativesAreDescendingWithTheLowerIdFirst) {
    Case c = {.logits = {1, 5, 3, 5, 3, 0, 5}};
    c.params.wants_logprobs = true;
    c.params.alternatives_count = 5;
    const Drawn drawn = draw(c);
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < 5; ++i)
        ids.push_back(drawn.scores.alternatives[i].token);
    EXPECT_EQ(ids, (std::vector<uint32_t>{1, 3, 6, 2, 4}));
    c.params.alternatives_count = 20;  // more than the vocabulary
    EXPECT_EQ(draw(c).scores.alternatives_count, 7u);
}

TEST(Sampler, ATinyTemperatureIsGreedy) {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        Case c = {.logits = {1, 1.25f, 1.5f, 1.25f},
                  .params = {.seed = seed, .temperature = 1e-38f}};
        ASSERT_EQ(draw(c).token, 2u);
    }
}

}  // namespace
}  // namespace bitnetd::worker
