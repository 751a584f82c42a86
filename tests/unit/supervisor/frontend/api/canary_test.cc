// Goal: a canary is judged by copies and shares of what clients ask, exactly as many as were
// ordered; clients notice nothing of copies; what is reported is what happened.
// Method: an Api over a dispatcher with two scripted workers, one of them the canary.
#include "supervisor/frontend/api/canary.h"

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

constexpr uint64_t kCanaryWorker = 90;
constexpr uint64_t kCandidateKey = 7;
constexpr uint64_t kRollout = 3;

class CanaryTest : public ApiTest {
  protected:
    void SetUp() override {
        add_worker();
        add_canary(kTestModelKey);
    }
    void add_canary(uint64_t model_key, uint32_t credits = 8) {
        dispatcher_.remove_worker(kCanaryWorker, shm::PeerEnd::kDrained, monotonic_ns());
        canary_ = std::make_shared<FakeWorkerState>();
        WorkerFacts facts{kCanaryWorker, model_key, 9, credits, "cpu:0"};
        facts.is_canary = true;
        dispatcher_.add_worker(std::move(facts), std::make_unique<FakeWorker>(canary_),
                               monotonic_ns());
    }
    // A candidate model under the same id, whose template writes more.
    void add_candidate() {
        catalog_.add(make_test_model(make_test_image("<|user|>new:{{ messages[0].content }}"),
                                     "tiny", kCandidateKey),
                     shm::ModelStanding::kCanary);
        add_canary(kCandidateKey);
    }
    void order(shm::CanaryStage stage, uint32_t permille = 1000, bool must_equal = true,
               uint64_t model_key = kTestModelKey) {
        api_.canary().take({.rollout = kRollout,
                            .worker = kCanaryWorker,
                            .model_key = model_key,
                            .baseline_key = kTestModelKey,
                            .stage = stage,
                            .permille = permille,
                            .must_equal = must_equal ? 1u : 0u,
                            .reserved = 0});
    }
    // The n-th submission of either worker produces text.
    void play(FakeWorkerState& worker, size_t submission, std::string_view text,
              shm::Finish finish = shm::Finish::kNone) {
        ASSERT_LT(submission, worker.submissions.size());
        const Assignment& work = worker.submissions[submission];
        uint32_t& position = played_[work.flight];
        if (position == 0) {
            position = static_cast<uint32_t>(work.ids.size());
            worker.publish_started(work.flight, work.attempt, monotonic_ns());
        }
        const Ids ids = bytes_as_ids(text);
        for (size_t i = 0; i < ids.size(); ++i) {
            worker.publish_token(work.flight, work.attempt, position++, ids[i],
                                 i + 1 == ids.size() ? finish : shm::Finish::kNone);
        }
        turn();
    }
    void original(std::string_view text, shm::Finish finish = shm::Finish::kNone, size_t n = 0) {
        play(*worker_, n, text, finish);
    }
    void copy(std::string_view text, shm::Finish finish = shm::Finish::kNone, size_t n = 0) {
        play(*canary_, n, text, finish);
    }
    FakeExchange& ask(int max_tokens = 4) {
        return complete({{"prompt", "ab"}, {"max_tokens", max_tokens}});
    }
    shm::CanaryReportMessage report() {
        now_ns_ += Canary::kReportIntervalNs;
        return api_.canary().take_report(now_ns_).value_or(shm::CanaryReportMessage{});
    }

    static constexpr auto kLength = shm::Finish::kLength;
    static constexpr auto kEog = shm::Finish::kEndOfGeneration;
    std::shared_ptr<FakeWorkerState> canary_;
    std::map<uint64_t, uint32_t> played_;
    uint64_t now_ns_ = kNsPerS;
};

TEST_F(CanaryTest, NothingIsCopiedUntilItIsOrdered) {
    ask();
    EXPECT_TRUE(canary_->submissions.empty());
    EXPECT_FALSE(api_.canary().take_report(kNsPerS));
    order(shm::CanaryStage::kCopies);
    ask();
    EXPECT_EQ(canary_->submissions.size(), 1u);
    order(shm::CanaryStage::kOff);
    EXPECT_EQ(canary_->cancels.size(), 1u) << "the copy that ran";
    EXPECT_EQ(api_.canary().copies(), 0u);
    ask();
    EXPECT_EQ(canary_->submissions.size(), 1u);
    EXPECT_EQ(worker_->submissions.size(), 3u);
}

TEST_F(CanaryTest, ACopyIsTheSameRequest) {
    order(shm::CanaryStage::kCopies);
    complete({{"prompt", "ab"}, {"max_tokens", 4}, {"seed", 77}, {"n", 3}, {"logprobs", 1}});
    ASSERT_EQ(worker_->submissions.size(), 3u);
    ASSERT_EQ(canary_->submissions.size(), 1u) << "of the first choice";
    const Assignment& a = worker_->submissions[0];
    const Assignment& b = canary_->submissions[0];
    EXPECT_EQ(a.ids, b.ids);
    EXPECT_EQ(a.seed, b.seed);
    EXPECT_EQ(a.position_limit, b.position_limit);
    EXPECT_EQ(a.flags, b.flags);
}

TEST_F(CanaryTest, EqualCopiesAreCounted) {
    order(shm::CanaryStage::kCopies);
    FakeExchange& client = ask();
    original("wx");
    copy("wxyz", kLength);
    EXPECT_EQ(report().completed, 0u) << "the original goes on";
    original("yz", kLength);
    EXPECT_EQ(client.body()["choices"][0]["text"], "wxyz");
    const auto sums = report();
    EXPECT_EQ(sums.rollout, kRollout);
    EXPECT_EQ(sums.stage, shm::CanaryStage::kCopies);
    EXPECT_EQ(sums.completed, 1u);
    EXPECT_EQ(sums.different, 0u);
    EXPECT_EQ(sums.failed, 0u);
    EXPECT_EQ(api_.canary().copies(), 0u);
}

TEST_F(CanaryTest, ADifferenceIsSeenAtOnce) {
    order(shm::CanaryStage::kCopies);
    FakeExchange& client = ask();
    copy("w!");
    original("wx");
    const auto sums = report();
    EXPECT_EQ(sums.completed, 1u);
    EXPECT_EQ(sums.different, 1u);
    EXPECT_EQ(canary_->cancels.size(), 1u) << "the rest tells nothing";
    original("yz", kLength);
    EXPECT_EQ(client.body()["choices"][0]["text"], "wxyz") << "its client saw the right answer";
}

TEST_F(CanaryTest, AnotherEndIsADifference) {
    order(shm::CanaryStage::kCopies);
    ask(), ask(), ask();
    copy("wx", kEog, 0);
    original("wxyz", kLength, 0);  // the copy ended earlier
    original("wx", kEog, 1);
    copy("wxyz", kLength, 1);  // and this one later
    original("wxyz", kEog, 2);
    copy("wxyz", kLength, 2);  // as far, and not for the same reason
    EXPECT_EQ(report().different, 3u);
    EXPECT_EQ(api_.canary().copies(), 0u);
}

TEST_F(CanaryTest, AnOriginalThatWasCutShortIsComparedAsFarAsItGoes) {
    order(shm::CanaryStage::kCopies);
    FakeExchange& stopped = complete({{"prompt", "ab"}, {"max_tokens", 9}, {"stop", "y"}});
    FakeExchange& left = ask(9);
    original("wxy", shm::Finish::kNone, 0);
    EXPECT_TRUE(stopped.answered());
    copy("wx", shm::Finish::kNone, 0);
    EXPECT_EQ(report().completed, 0u);
    copy("y", shm::Finish::kNone, 0);
    EXPECT_EQ(report().completed, 1u);
    EXPECT_EQ(canary_->cancels.size(), 1u) << "it never runs longer than its original";
    original("wx", shm::Finish::kNone, 1);
    std::exchange(left.on_gone, {})();
    copy("w!", shm::Finish::kNone, 1);
    const auto sums = report();
    EXPECT_EQ(sums.completed, 2u);
    EXPECT_EQ(sums.different, 1u);
}

TEST_F(CanaryTest, AClientThatLeavesBeforeItsFirstTokenTellsNothing) {
    order(shm::CanaryStage::kCopies);
    FakeExchange& client = ask();
    std::exchange(client.on_gone, {})();
    turn();
    EXPECT_EQ(api_.canary().copies(), 0u);
    EXPECT_EQ(canary_->cancels.size(), 1u);
    EXPECT_EQ(report().completed, 0u);
}

TEST_F(CanaryTest, FailuresOfTheCanaryAreItsOwn) {
    order(shm::CanaryStage::kCopies);
    FakeExchange& client = ask();
    ask();
    const Assignment& work = canary_->submissions[0];
    canary_->publish_failed(work.flight, work.attempt, shm::FailureCode::kBadNumbers);
    turn();
    EXPECT_EQ(report().failed, 1u);
    dispatcher_.remove_worker(kCanaryWorker, shm::PeerEnd::kOwnFault, monotonic_ns());
    turn();
    const auto sums = report();
    EXPECT_EQ(sums.failed, 2u);
    EXPECT_EQ(sums.completed, 0u);
    EXPECT_FALSE(client.answered());
    original("wxyz", kLength);
    EXPECT_EQ(client.response->status, 200);
    ask();
    EXPECT_EQ(api_.canary().copies(), 0u) << "there is nobody to copy to";
}

TEST_F(CanaryTest, AnOriginalThatFailsTellsNothing) {
    order(shm::CanaryStage::kCopies);
    FakeExchange& client = ask();
    const Assignment& work = worker_->submissions[0];
    worker_->publish_failed(work.flight, work.attempt, shm::FailureCode::kBadNumbers);
    turn();
    EXPECT_EQ(client.response->status, 500);
    EXPECT_EQ(api_.canary().copies(), 0u);
    const auto sums = report();
    EXPECT_EQ(sums.failed + sums.completed, 0u);
}

TEST_F(CanaryTest, AsManyAsOrderedSpreadEvenly) {
    order(shm::CanaryStage::kCopies, 250);
    for (size_t i = 1; i <= 8; ++i) {
        FakeExchange& client = ask(1);
        EXPECT_EQ(canary_->submissions.size(), i / 4) << i;
        original("x", kLength, i - 1);
        EXPECT_TRUE(client.answered());
        if (i % 4 == 0) copy("x", kLength, i / 4 - 1);
    }
    catalog_.add(make_test_model(make_test_image(), "other", 2));
    add_worker();
    dispatcher_.add_worker({70, 2, 0, 8, "cpu:0"},
                           std::make_unique<FakeWorker>(std::make_shared<FakeWorkerState>()),
                           monotonic_ns());
    order(shm::CanaryStage::kCopies, 1000);
    complete({{"model", "other"}, {"prompt", "ab"}});
    EXPECT_EQ(canary_->submissions.size(), 2u) << "another model is not concerned";
}

TEST_F(CanaryTest, NobodyWaitsForCopies) {
    add_canary(kTestModelKey, /*credits=*/1);
    order(shm::CanaryStage::kCopies);
    std::vector<FakeExchange*> clients;
    for (size_t i = 0; i < 6; ++i)
        clients.push_back(&ask(1));
    EXPECT_EQ(api_.canary().copies(), 6u);
    for (size_t i = 0; i < clients.size(); ++i) {
        original("x", kLength, i);
        ASSERT_TRUE(clients[i]->answered()) << "nobody waits for copies";
    }
    EXPECT_EQ(canary_->submissions.size(), 1u) << "it takes one at a time";
    EXPECT_EQ(dispatcher_.active(), 0u);
}

// So that steps of about as many rows are compared.
TEST_F(CanaryTest, NoMoreAtOnceThanOneOldWorkerComputes) {
    order(shm::CanaryStage::kCopies);
    ask();
    original("wxyz", kLength, 0);
    EXPECT_EQ(api_.canary().copies(), 1u);
    ask();
    EXPECT_EQ(api_.canary().copies(), 1u) << "the canary is behind";
    ask();
    EXPECT_EQ(api_.canary().copies(), 2u);
    copy("wxyz", kLength, 0);
    EXPECT_EQ(report().completed, 1u);
    EXPECT_EQ(api_.canary().copies(), 1u);
}

TEST_F(CanaryTest, ACandidateModelGetsIdsOfItsOwn) {
    add_candidate();
    order(shm::CanaryStage::kCopies, 1000, /*must_equal=*/false, kCandidateKey);
    FakeExchange& client = chat({{"max_tokens", 4}, {"seed", 5}});
    ASSERT_EQ(canary_->submissions.size(), 1u);
    EXPECT_NE(canary_->submissions[0].ids, worker_->submissions[0].ids);
    EXPECT_EQ(canary_->submissions[0].seed, 5u);
    original("wxyz", kLength);
    copy("!?", kEog);
    EXPECT_EQ(client.body()["choices"][0]["message"]["content"], "wxyz");
    const auto sums = report();
    EXPECT_EQ(sums.completed, 1u);
    EXPECT_EQ(sums.different, 0u) << "it may say something else";
}

TEST_F(CanaryTest, WhatWasPreparedForAnEarlierOrderIsDropped) {
    add_candidate();
    order(shm::CanaryStage::kCopies, 1000, false, kCandidateKey);
    tasks_.at_once = false;
    ask();
    EXPECT_EQ(api_.canary().copies(), 1u);
    catalog_.set_standing(kCandidateKey, shm::ModelStanding::kRetiring, false);
    const auto has_flights = [this](uint64_t key) { return dispatcher_.has_flights(key); };
    EXPECT_TRUE(catalog_.take_released(has_flights).empty()) << "it is being prepared for";
    order(shm::CanaryStage::kOff);
    tasks_.run_all();
    turn();
    EXPECT_EQ(api_.canary().copies(), 0u);
    EXPECT_TRUE(canary_->submissions.empty());
    EXPECT_EQ(catalog_.take_released(has_flights), std::vector{kCandidateKey});
}

TEST_F(CanaryTest, ACopyPinsItsModel) {
    add_candidate();
    order(shm::CanaryStage::kCopies, 1000, false, kCandidateKey);
    ask();
    catalog_.set_standing(kCandidateKey, shm::ModelStanding::kRetiring, false);
    const auto has_flights = [this](uint64_t key) { return dispatcher_.has_flights(key); };
    EXPECT_TRUE(catalog_.take_released(has_flights).empty());
    copy("x", kEog);
    original("wxyz", kLength);
    EXPECT_EQ(catalog_.take_released(has_flights), std::vector{kCandidateKey});
}

TEST_F(CanaryTest, AShareOfTheSameModelRunsOnTheCanary) {
    order(shm::CanaryStage::kShare, 500);
    FakeExchange& first = ask();
    FakeExchange& second = ask();
    ASSERT_EQ(worker_->submissions.size(), 1u);
    ASSERT_EQ(canary_->submissions.size(), 1u);
    original("wxyz", kLength);
    copy("wxyz", kLength);
    EXPECT_EQ(first.body()["choices"][0]["text"], "wxyz");
    EXPECT_EQ(second.body()["choices"][0]["text"], "wxyz");
    const auto sums = report();
    EXPECT_EQ(sums.stage, shm::CanaryStage::kShare);
    EXPECT_EQ(sums.completed, 1u);
    EXPECT_EQ(board_.counter(Counter::kGenerationsFinished), 2u) << "both were asked for";
}

TEST_F(CanaryTest, AShareOutlivesTheCanary) {
    order(shm::CanaryStage::kShare);
    FakeExchange& client = ask();
    copy("wx");
    dispatcher_.remove_worker(kCanaryWorker, shm::PeerEnd::kKilled, monotonic_ns());
    ASSERT_EQ(worker_->submissions.size(), 1u);
    original("yz", kLength);
    EXPECT_EQ(client.body()["choices"][0]["text"], "wxyz");
}

TEST_F(CanaryTest, AFailedShareIsReported) {
    order(shm::CanaryStage::kShare);
    FakeExchange& client = complete({{"prompt", "ab"}, {"n", 2}});
    const Assignment& work = canary_->submissions[1];  // not of the first choice
    canary_->publish_failed(work.flight, work.attempt, shm::FailureCode::kBadNumbers);
    turn();
    EXPECT_EQ(client.response->status, 500);
    EXPECT_EQ(report().failed, 1u);
}

TEST_F(CanaryTest, AShareOfACandidateModelIsPreparedForIt) {
    add_candidate();
    order(shm::CanaryStage::kShare, 500, false, kCandidateKey);
    FakeExchange& first = chat({{"max_tokens", 2}});
    FakeExchange& second = chat({{"max_tokens", 2}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    ASSERT_EQ(canary_->submissions.size(), 1u);
    EXPECT_NE(canary_->submissions[0].ids, worker_->submissions[0].ids);
    original("wx", kLength);
    copy("yz", kLength);
    EXPECT_EQ(first.body()["choices"][0]["message"]["content"], "wx");
    EXPECT_EQ(second.body()["choices"][0]["message"]["content"], "yz");
    EXPECT_EQ(second.body()["model"], "tiny");
    EXPECT_EQ(report().completed, 1u);
}

TEST_F(CanaryTest, ACandidateWithoutAPlaceLetsTheOtherAnswer) {
    add_candidate();
    add_canary(kCandidateKey, /*credits=*/1);
    order(shm::CanaryStage::kShare, 1000, false, kCandidateKey);
    chat({{"max_tokens", 2}});
    EXPECT_EQ(canary_->submissions.size(), 1u);
    FakeExchange& client = chat({{"max_tokens", 2}});
    ASSERT_EQ(worker_->submissions.size(), 1u) << "nobody waits for a canary";
    original("wx", kLength);
    EXPECT_EQ(client.response->status, 200);
}

TEST_F(CanaryTest, ACandidateThatCannotLetsTheOtherAnswer) {
    catalog_.add(make_test_model(make_test_image(""), "tiny", kCandidateKey),
                 shm::ModelStanding::kCanary);  // no chat template
    add_canary(kCandidateKey);
    order(shm::CanaryStage::kShare, 1000, false, kCandidateKey);
    FakeExchange& client = chat({{"max_tokens", 2}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    original("wx", kLength);
    EXPECT_EQ(client.response->status, 200);
}

TEST_F(CanaryTest, ReportsComeAtMostSoOften) {
    order(shm::CanaryStage::kCopies);
    Canary& canary = api_.canary();
    EXPECT_TRUE(canary.take_report(kNsPerS)) << "that it was heard";
    EXPECT_FALSE(canary.take_report(2 * kNsPerS)) << "nothing is new";
    ask(1), ask(1);
    original("x", kLength, 0), copy("x", kLength, 0);
    EXPECT_EQ(canary.take_report(3 * kNsPerS).value().completed, 1u);
    original("x", kLength, 1), copy("x", kLength, 1);
    EXPECT_FALSE(canary.take_report(3 * kNsPerS + Canary::kReportIntervalNs - 1));
    EXPECT_EQ(canary.take_report(3 * kNsPerS + Canary::kReportIntervalNs).value().completed, 2u);
    order(shm::CanaryStage::kCopies);
    EXPECT_EQ(canary.take_report(5 * kNsPerS).value().completed, 2u) << "a supervisor asks again";
    order(shm::CanaryStage::kShare);
    EXPECT_EQ(canary.take_report(6 * kNsPerS).value().completed, 0u) << "a new stage";
}

TEST_F(CanaryTest, AFlightThatChangedItsDeviceSaysSo) {
    FakeExchange& client = ask();
    original("wx");
    dispatcher_.remove_worker(incarnation_, shm::PeerEnd::kKilled, monotonic_ns());
    const auto gpu = std::make_shared<FakeWorkerState>();
    dispatcher_.add_worker({60, kTestModelKey, 0, 8, "cuda:0"}, std::make_unique<FakeWorker>(gpu),
                           monotonic_ns());
    const Assignment& work = gpu->submissions.at(0);
    gpu->publish_started(work.flight, work.attempt, monotonic_ns());
    play(*gpu, 0, "yz", kLength);
    const Json performance = client.body()["usage"]["performance"];
    EXPECT_EQ(performance["device_changed"], true);
    EXPECT_EQ(performance["device_used"], "cpu") << "where it began";
    FakeExchange& another = ask();
    play(*gpu, 1, "wxyz", kLength);
    EXPECT_FALSE(another.body()["usage"]["performance"].contains("device_changed"));
}

}  // namespace
}  // namespace bitnetd::frontend
