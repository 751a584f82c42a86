// Goal: what a flight wants of its prompt is what the model says of it: scores are the logprobs
// that the same tokens have when they are drawn, an embedding is the pooled hidden states. Method:
// a real small model behind the loop; scores compared with drawn tokens' bit for bit, embeddings
// with hidden states computed by hand, whatever the chunks and the company.
#include <gtest/gtest.h>

#include "tests/support/worker/engine_fixture.h"
#include "tests/support/worker/loop_fixture.h"
#include "worker/model/pooling.h"

namespace bitnetd::worker {
namespace {

using test::FakeFrontend;
using test::Heard;
using test::LoopFixture;
using test::Request;

Request drawing(uint64_t flight, uint32_t prompt, uint32_t new_tokens) {
    Request request;
    request.flight = flight;
    request.ids = LoopFixture::prompt(prompt, flight);
    request.new_tokens = new_tokens;
    request.sampling.alternatives_count = 3;
    return request;
}

Heard run(LoopFixture& fixture, const Request& request) {
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request);
    fixture.settle({&frontend});
    return frontend.heard(request.flight);
}

TEST(PromptResults, ScoresAreTheLogprobsOfDrawingTheSameTokens) {
    LoopFixture drawer;
    const Request drawn = drawing(1, 9, 40);
    const Heard expected = run(drawer, drawn);
    ASSERT_EQ(expected.tokens.size(), 40u);
    Request scored = drawn;
    for (const uint32_t id : expected.ids())
        scored.ids.push_back(id);
    scored.new_tokens = 0;
    scored.flags = shm::kScorePrompt;
    for (const uint32_t step_tokens : {64u, 5u, 1u}) {
        LoopFixture fixture({.step_tokens_max = step_tokens});
        const Heard heard = run(fixture, scored);
        ASSERT_TRUE(heard.is_finished());
        EXPECT_EQ(heard.started.size(), 1u);
        EXPECT_TRUE(heard.tokens.empty());
        ASSERT_EQ(heard.prompt_scores.size(), 48u);
        for (uint32_t i = 0; i < 40; ++i) {
            const test::Score& score = heard.prompt_scores[8 + i];
            EXPECT_EQ(score.logprob, expected.tokens[i].logprob) << "token " << i;
            ASSERT_EQ(score.alternatives.size(), 3u);
            for (size_t j = 0; j < 3; ++j) {
                EXPECT_EQ(score.alternatives[j].token, expected.alternatives[i][j].token);
                EXPECT_EQ(score.alternatives[j].logprob, expected.alternatives[i][j].logprob);
            }
        }
    }
}

TEST(PromptResults, ScoresComeBeforeTokensWhichAreTheSame) {
    LoopFixture plain;
    const Request drawn = drawing(1, 20, 6);
    const Heard expected = run(plain, drawn);
    Request scored = drawn;
    scored.flags = shm::kScorePrompt;
    LoopFixture fixture({.step_tokens_max = 7});
    const Heard heard = run(fixture, scored);
    EXPECT_EQ(heard.prompt_scores.size(), 19u);
    EXPECT_EQ(heard.ids(), expected.ids());
    EXPECT_EQ(heard.logprobs(), expected.logprobs());
}

TEST(PromptResults, APromptOfOneIdHasNoScores) {
    LoopFixture fixture;
    Request request = drawing(1, 1, 0);
    request.flags = shm::kScorePrompt;
    const Heard heard = run(fixture, request);
    EXPECT_TRUE(heard.is_finished());
    EXPECT_TRUE(heard.prompt_scores.empty());
    EXPECT_EQ(fixture.cache().pages().available(), fixture.cache().pages().pages_total());
}

TEST(PromptResults, AnEmbeddingIsThePooledHiddenStates) {
    const Request request = [] {
        Request wanted = drawing(1, 50, 0);
        wanted.flags = shm::kWantEmbedding;
        return wanted;
    }();
    test::EngineFixture engine(LoopFixture::model().segment(), {});
    Pooler pooler(engine.weights().header.pooling, engine.weights().header.hidden);
    for (uint32_t position = 0; position < request.ids.size(); ++position) {
        const Row row = engine.row(0, request.ids[position], position);
        engine.engine().step({&row, 1}, {});
        pooler.add(engine.engine().hidden_of(0));
    }
    std::vector<float> pooled(engine.weights().header.hidden);
    pooler.write(pooled);
    for (const uint32_t step_tokens : {64u, 7u}) {
        LoopFixture fixture({.step_tokens_max = step_tokens});
        const Heard heard = run(fixture, request);
        EXPECT_EQ(heard.embedding, pooled);
        EXPECT_TRUE(heard.tokens.empty());
    }
    // In company, with the same beginning in the cache.
    LoopFixture crowded({.step_tokens_max = 30});
    FakeFrontend frontend(1);
    crowded.connect(frontend);
    Request other = drawing(2, 50, 12);
    other.ids = request.ids;
    frontend.submit(other);
    frontend.submit(request);
    crowded.settle({&frontend});
    EXPECT_EQ(frontend.heard(1).embedding, pooled);
    EXPECT_EQ(frontend.heard(2).tokens.size(), 12u);
}

}  // namespace
}  // namespace bitnetd::worker
