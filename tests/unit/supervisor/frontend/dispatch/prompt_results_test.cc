// Goal: scores of a prompt and embeddings reach their sink once and in order, whatever attempts
// they
//   came from; what cannot be true ends the worker that sent it; they are no tokens to any counter.
// Method: a Dispatcher with scripted workers and a hand-turned clock.
#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"

namespace bitnetd::frontend {
namespace {

using Ids = std::vector<uint32_t>;
using Floats = std::vector<float>;

class PromptResultsTest : public testing::Test {
  protected:
    std::shared_ptr<FakeWorkerState> add_worker() {
        auto state = std::make_shared<FakeWorkerState>();
        dispatcher_.add_worker({++incarnation_, 1, 0, 8, "cpu:0"},
                               std::make_unique<FakeWorker>(state), now_ns_);
        return state;
    }
    uint64_t submit(FlightSpec spec) {
        const auto id = dispatcher_.submit(std::move(spec), sink_, now_ns_);
        EXPECT_TRUE(id.has_value());
        return id.value_or(0);
    }
    // The last worker dies; another one takes over.
    std::shared_ptr<FakeWorkerState> replace_worker(shm::PeerEnd end = shm::PeerEnd::kKilled) {
        dispatcher_.remove_worker(incarnation_, end, now_ns_);
        return add_worker();
    }
    void poll() { dispatcher_.poll(now_ns_); }
    bool is_worker_believed() const { return dispatcher_.workers().size() == 1; }
    uint64_t recorded(Histogram histogram) {
        uint64_t count = 0;
        auto view = shm::BoardView::open(board_.view());
        EXPECT_TRUE(view.ok());
        for (const uint64_t bucket : view->histogram(histogram).buckets)
            count += bucket;
        return count;
    }

    TestBoard board_;
    uint64_t now_ns_ = kNsPerS;
    uint64_t incarnation_ = 0;
    RecordingSink sink_;
    Dispatcher dispatcher_{board_.writer(), 4};
};

TEST_F(PromptResultsTest, ScoresAloneEndTheFlight) {
    const auto worker = add_worker();
    const uint64_t id = submit(make_scored_spec({7, 8, 9, 10}));
    EXPECT_EQ(worker->submissions[0].flags, shm::kScorePrompt);
    worker->publish_started(id, 1, now_ns_);
    worker->publish_scores(id, 1, 1, {-1, -2});
    poll();
    EXPECT_EQ(sink_.scored_ids, (Ids{8, 9}));
    EXPECT_TRUE(sink_.ends.empty());
    worker->publish_scores(id, 1, 3, {-3});
    poll();
    EXPECT_EQ(sink_.starts, 1u);
    EXPECT_EQ(sink_.scored_ids, (Ids{8, 9, 10}));
    EXPECT_EQ(sink_.scores, (Floats{-1, -2, -3}));
    EXPECT_EQ(sink_.ends, std::vector{EndReason::kLength});
    EXPECT_TRUE(worker->cancels.empty()) << "the worker knows";
    EXPECT_EQ(board_.counter(Counter::kGenerationsFinished), 1u);
    EXPECT_EQ(board_.counter(Counter::kGeneratedTokens), 0u);
    EXPECT_EQ(recorded(Histogram::kFirstTokenSeconds), 0u) << "no token, no time to it";
    EXPECT_EQ(recorded(Histogram::kInterTokenSeconds), 0u);
    EXPECT_EQ(recorded(Histogram::kEndToEndSeconds), 1u);
}

TEST_F(PromptResultsTest, ScoresComeBeforeTokensOfTheSameTurn) {
    const auto worker = add_worker();
    const uint64_t id = submit(make_scored_spec({7, 8}, 1));
    worker->publish_scores(id, 1, 1, {-1}, {{{3, -0.5f}, {8, -1.0f}}});
    worker->publish_token(id, 1, 2, 20, shm::Finish::kLength);
    poll();
    EXPECT_EQ(sink_.scored_ids, Ids{8});
    EXPECT_EQ(sink_.ids, Ids{20});
    EXPECT_EQ(sink_.ids_before_scores, 0u);
    EXPECT_EQ(sink_.ends, std::vector{EndReason::kLength});
    EXPECT_EQ(recorded(Histogram::kFirstTokenSeconds), 1u);
}

TEST_F(PromptResultsTest, APromptOfOneTokenHasNothingToScore) {
    const auto worker = add_worker();
    const uint64_t id = submit(make_scored_spec({7}));
    worker->publish_scores(id, 1, 1, {});
    poll();
    EXPECT_TRUE(sink_.scored_ids.empty());
    EXPECT_EQ(sink_.ends, std::vector{EndReason::kLength});
}

TEST_F(PromptResultsTest, ALaterAttemptGoesOnWhereTheScoresEnded) {
    const auto first = add_worker();
    const uint64_t id = submit(make_scored_spec({7, 8, 9, 10, 11}, 2));
    first->publish_scores(id, 1, 1, {-1, -2});
    poll();
    const auto second = replace_worker();
    ASSERT_EQ(second->submissions.size(), 1u);
    EXPECT_EQ(second->submissions[0].flags, shm::kScorePrompt) << "not all were there";
    first->publish_scores(id, 1, 3, {-50, -50});  // fenced: too late
    second->publish_scores(id, 2, 1, {-91});      // known already: passed over
    second->publish_scores(id, 2, 2, {-92, -3});  // half of it
    second->publish_scores(id, 2, 4, {-4});
    second->publish_token(id, 2, 5, 20);
    poll();
    EXPECT_EQ(sink_.scores, (Floats{-1, -2, -3, -4}));
    EXPECT_EQ(sink_.scored_ids, (Ids{8, 9, 10, 11}));
    EXPECT_EQ(sink_.ids, Ids{20});
    EXPECT_TRUE(is_worker_believed());

    const auto third = replace_worker();
    ASSERT_EQ(third->submissions.size(), 1u);
    EXPECT_EQ(third->submissions[0].flags, 0u) << "all were there: not computed again";
    EXPECT_EQ(third->submissions[0].ids, (Ids{7, 8, 9, 10, 11, 20}));
    third->publish_token(id, 3, 6, 21, shm::Finish::kLength);
    poll();
    EXPECT_EQ(sink_.ids, (Ids{20, 21}));
    EXPECT_EQ(sink_.ends, std::vector{EndReason::kLength});
}

TEST_F(PromptResultsTest, ScoresThatCannotBeTrueEndTheWorker) {
    struct Row {
        const char* what;
        uint32_t first;
        Floats scores;
        uint32_t alternative;
    };
    const Row rows[] = {{"the first token has no score", 0, {-1}, 5},
                        {"one is missing", 2, {-1}, 5},
                        {"more than the prompt", 1, {-1, -2, -3}, 5},
                        {"far away", 0xFFFF'FFFF, {-1}, 5},
                        {"none", 1, {}, 5},
                        {"beyond the vocabulary", 1, {-1}, 1000}};
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        const auto worker = add_worker();
        const uint64_t id = submit(make_scored_spec({7, 8, 9}));
        worker->publish_scores(
            id, 1, row.first, row.scores,
            std::vector<std::vector<shm::Alternative>>(row.scores.size(), {{row.alternative, -1}}));
        poll();
        EXPECT_TRUE(dispatcher_.workers().empty());
        EXPECT_TRUE(sink_.scores.empty());
        EXPECT_EQ(dispatcher_.waiting(), 1u) << "the flight moves on";
        dispatcher_.cancel(id, now_ns_);
    }
}

TEST_F(PromptResultsTest, WhatWasNotAskedForEndsTheWorker) {
    const std::vector<std::function<void(FakeWorkerState&, uint64_t)>> unasked = {
        [](FakeWorkerState& worker, uint64_t id) { worker.publish_scores(id, 1, 1, {-1}); },
        [](FakeWorkerState& worker, uint64_t id) { worker.publish_embedding(id, 1, 0, {1}, 4); }};
    for (const auto& publish : unasked) {
        const auto worker = add_worker();
        const uint64_t id = submit(make_spec({7, 8}, 100));
        publish(*worker, id);
        poll();
        EXPECT_TRUE(dispatcher_.workers().empty());
        dispatcher_.cancel(id, now_ns_);
    }
    EXPECT_TRUE(sink_.scores.empty() && sink_.values.empty());
}

TEST_F(PromptResultsTest, ATokenWhereNoneIsDueEndsTheWorker) {
    for (const FlightSpec& spec :
         {make_scored_spec({7, 8}), make_scored_spec({7, 8}, 5), make_embedding_spec({7, 8}, 4)}) {
        const auto worker = add_worker();
        const uint64_t id = submit(spec);
        worker->publish_token(id, 1, 2, 20);
        poll();
        EXPECT_TRUE(dispatcher_.workers().empty());
        EXPECT_TRUE(sink_.ids.empty());
        dispatcher_.cancel(id, now_ns_);
    }
}

TEST_F(PromptResultsTest, AnEmbeddingComesInPartsOverTwoAttempts) {
    const auto first = add_worker();
    const uint64_t id = submit(make_embedding_spec({7, 8}, 5));
    EXPECT_EQ(first->submissions[0].flags, shm::kWantEmbedding);
    first->publish_embedding(id, 1, 0, {1, 2}, 5);
    poll();
    EXPECT_EQ(sink_.values, (Floats{1, 2}));
    const auto second = replace_worker();
    EXPECT_EQ(second->submissions[0].flags, shm::kWantEmbedding);
    second->publish_embedding(id, 2, 0, {-1}, 5);
    second->publish_embedding(id, 2, 1, {-2, 3, 4}, 5);
    second->publish_embedding(id, 2, 4, {5}, 5);
    poll();
    EXPECT_EQ(sink_.values, (Floats{1, 2, 3, 4, 5}));
    EXPECT_EQ(sink_.ends, std::vector{EndReason::kLength});
    EXPECT_EQ(board_.counter(Counter::kGeneratedTokens), 0u);
    EXPECT_EQ(recorded(Histogram::kFirstTokenSeconds), 0u);
}

TEST_F(PromptResultsTest, EmbeddingsThatCannotBeTrueEndTheWorker) {
    const std::vector<std::function<void(FakeWorkerState&, uint64_t)>> bad = {
        [](FakeWorkerState& worker, uint64_t id) {
            worker.publish_embedding(id, 1, 0, {1}, 4);  // another hidden size
        },
        [](FakeWorkerState& worker, uint64_t id) {
            worker.publish_embedding(id, 1, 1, {1}, 5);  // the first is missing
        }};
    for (const auto& publish : bad) {
        const auto worker = add_worker();
        const uint64_t id = submit(make_embedding_spec({7, 8}, 5));
        publish(*worker, id);
        poll();
        EXPECT_TRUE(dispatcher_.workers().empty());
        EXPECT_TRUE(sink_.values.empty());
        dispatcher_.cancel(id, now_ns_);
    }
}

TEST_F(PromptResultsTest, APromptThatKillsEveryWorkerIsQuarantinedThoughItsFirstScoresCame) {
    auto worker = add_worker();
    const uint64_t id = submit(make_scored_spec({7, 8, 9}));
    for (uint32_t attempt = 1; attempt <= 3; ++attempt) {
        ASSERT_TRUE(sink_.ends.empty());
        worker->publish_scores(id, attempt, 1, {-1});  // new only the first time
        worker->step_plan = {id};
        worker = replace_worker(shm::PeerEnd::kOwnFault);
    }
    EXPECT_EQ(sink_.scores, Floats{-1});
    EXPECT_EQ(sink_.ends, std::vector{EndReason::kQuarantined});
}

}  // namespace
}  // namespace bitnetd::frontend
