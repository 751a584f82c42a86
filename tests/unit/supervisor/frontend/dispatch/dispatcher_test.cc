// Goal: each rule of mechanics.md section 1 that dispatch owns, one test each.
// Method: a Dispatcher with scripted workers and a hand-turned clock; no process, no ring, no time.
#include "supervisor/frontend/dispatch/dispatcher.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"

namespace bitnetd::frontend {
namespace {

using Ids = std::vector<uint32_t>;

class DispatcherTest : public testing::Test {
  protected:
    std::shared_ptr<FakeWorkerState> add_worker(uint64_t incarnation, uint32_t credits = 8,
                                                std::string device = "cpu:0") {
        auto state = std::make_shared<FakeWorkerState>();
        dispatcher_.add_worker(
            {incarnation, 1, static_cast<uint32_t>(incarnation), credits, device},
            std::make_unique<FakeWorker>(state), now_ns_);
        return state;
    }
    uint64_t submit(RecordingSink& sink, Ids prompt = {7, 8, 9}, uint32_t limit = 100) {
        const auto id = dispatcher_.submit(make_spec(std::move(prompt), limit), sink, now_ns_);
        EXPECT_TRUE(id.has_value());
        return id.value_or(0);
    }
    void kill_in_step(uint64_t incarnation, FakeWorkerState& worker, uint64_t flight) {
        worker.step_plan = {flight};
        dispatcher_.remove_worker(incarnation, shm::PeerEnd::kOwnFault, now_ns_);
    }

    TestBoard board_;
    uint64_t now_ns_ = kNsPerS;
    Dispatcher dispatcher_{board_.writer(), 4};
};

TEST_F(DispatcherTest, DeliversTokensAndEnds) {
    const auto worker = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    worker->publish_started(id, 1, now_ns_);
    worker->publish_token(id, 1, 3, 20);
    worker->publish_token(id, 1, 4, 21);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.starts, 1u);
    EXPECT_EQ(sink.ids, (Ids{20, 21}));
    EXPECT_EQ(sink.batches, 1u) << "tokens of one turn come together";
    worker->publish_token(id, 1, 5, 2, shm::Finish::kEndOfGeneration);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ids, (Ids{20, 21, 2}));
    EXPECT_EQ(sink.ends, std::vector{EndReason::kStop});
    EXPECT_EQ(dispatcher_.active(), 0u);
    EXPECT_EQ(board_.counter(Counter::kGenerationsFinished), 1u);
    EXPECT_EQ(board_.counter(Counter::kGeneratedTokens), 3u);
}

TEST_F(DispatcherTest, WorkersThatDiedUnseenLoseTheirFlightsToOthers) {
    const auto gone = add_worker(1, 1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    ASSERT_EQ(gone->submissions.size(), 1u);
    gone->publish_token(id, 1, 3, 20);
    const auto stays = add_worker(2);
    EXPECT_TRUE(dispatcher_.knows_worker(1));
    dispatcher_.keep_workers({2, 77}, now_ns_);
    EXPECT_FALSE(dispatcher_.knows_worker(1));
    EXPECT_TRUE(dispatcher_.knows_worker(2));
    ASSERT_EQ(stays->submissions.size(), 1u);
    EXPECT_EQ(stays->submissions[0].ids, (Ids{7, 8, 9, 20}));
}

TEST_F(DispatcherTest, KnowsWhoseFlightsItHas) {
    RecordingSink sink;
    EXPECT_FALSE(dispatcher_.has_flights(1));
    const uint64_t waiting = submit(sink);
    EXPECT_TRUE(dispatcher_.has_flights(1)) << "one that waits counts";
    EXPECT_FALSE(dispatcher_.has_flights(2));
    dispatcher_.cancel(waiting, now_ns_);
    EXPECT_FALSE(dispatcher_.has_flights(1));
}

TEST_F(DispatcherTest, EndsAtPositionLimitEvenIfTheWorkerDoesNot) {
    const auto worker = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink, {7, 8, 9}, 4);
    worker->publish_token(id, 1, 3, 20);
    worker->publish_token(id, 1, 4, 21);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ids, Ids{20});
    EXPECT_EQ(sink.ends, std::vector{EndReason::kLength});
    EXPECT_EQ(worker->cancels.size(), 1u);
}

TEST_F(DispatcherTest, IgnoresOtherAttemptsOldPositionsAndStrangers) {
    const auto worker = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    worker->publish_token(id, 2, 3, 50);      // an attempt that does not exist
    worker->publish_token(id + 1, 1, 3, 51);  // a flight that does not exist
    worker->publish_token(id, 1, 3, 20);
    worker->publish_token(id, 1, 3, 52);  // the same position again
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ids, Ids{20});
    EXPECT_EQ(board_.counter(Counter::kTokensStale), 3u);
}

TEST_F(DispatcherTest, ContinuesALostFlightWithWhatItHadProduced) {
    const auto first = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    first->publish_token(id, 1, 3, 20);
    dispatcher_.poll(now_ns_);
    first->publish_token(id, 1, 4, 21);  // published, not yet read when the worker is fenced
    dispatcher_.remove_worker(1, shm::PeerEnd::kKilled, now_ns_);
    EXPECT_EQ(sink.ids, (Ids{20, 21})) << "what it had published is real";

    const auto second = add_worker(2);
    ASSERT_EQ(second->submissions.size(), 1u);
    EXPECT_EQ(second->submissions[0].ids, (Ids{7, 8, 9, 20, 21}));
    EXPECT_EQ(second->submissions[0].prompt_count, 3u);
    EXPECT_EQ(second->submissions[0].attempt, 2u);
    EXPECT_EQ(board_.counter(Counter::kGenerationsResumed), 1u);
    second->publish_token(id, 2, 5, 22, shm::Finish::kLength);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ids, (Ids{20, 21, 22}));
    EXPECT_EQ(sink.ends, std::vector{EndReason::kLength});
}

TEST_F(DispatcherTest, AGarblingWorkerIsRetiredAndItsFlightsMove) {
    const auto first = add_worker(1);
    const auto second = add_worker(2, 8);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    ASSERT_EQ(first->submissions.size(), 1u);
    first->publish_token(id, 1, 3, 1000);  // beyond the vocabulary
    dispatcher_.poll(now_ns_);
    EXPECT_TRUE(sink.ids.empty());
    ASSERT_EQ(second->submissions.size(), 1u);
    EXPECT_EQ(second->submissions[0].attempt, 2u);
    EXPECT_EQ(dispatcher_.workers().size(), 1u);
    EXPECT_EQ(dispatcher_.take_broken(), std::vector<uint64_t>{1}) << "for the supervisor";
    EXPECT_TRUE(dispatcher_.take_broken().empty());
    dispatcher_.remove_worker(1, shm::PeerEnd::kKilled,
                              now_ns_);  // the supervisor's word comes later
}

TEST_F(DispatcherTest, APositionAheadIsAGarbledWorkerToo) {
    const auto worker = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    worker->publish_token(id, 1, 4, 20);
    dispatcher_.poll(now_ns_);
    EXPECT_TRUE(sink.ids.empty());
    EXPECT_TRUE(dispatcher_.workers().empty());
    EXPECT_EQ(dispatcher_.waiting(), 1u);
}

TEST_F(DispatcherTest, ChoosesTheLeastLoadedReadyWorker) {
    const auto small = add_worker(1, 2);
    const auto large = add_worker(2, 8);
    const auto starting = add_worker(3, 64);
    starting->ready = false;
    RecordingSink sinks[5];
    for (RecordingSink& sink : sinks)
        submit(sink);
    EXPECT_EQ(small->submissions.size(), 1u);
    EXPECT_EQ(large->submissions.size(), 4u);
    EXPECT_TRUE(starting->submissions.empty());
}

TEST_F(DispatcherTest, PrefersTheAskedDeviceButTakesAny) {
    const auto cpu = add_worker(1, 1, "cpu:0");
    const auto gpu = add_worker(2, 1, "cuda:0");
    RecordingSink a, b;
    FlightSpec spec = make_spec({1}, 10);
    spec.device = DevicePreference::kGpu;
    ASSERT_TRUE(dispatcher_.submit(spec, a, now_ns_));
    EXPECT_EQ(gpu->submissions.size(), 1u);
    ASSERT_TRUE(dispatcher_.submit(spec, b, now_ns_));
    EXPECT_EQ(cpu->submissions.size(), 1u);
}

TEST_F(DispatcherTest, QueueIsBoundedAndOrderedByPriority) {
    RecordingSink sinks[5];
    FlightSpec low = make_spec({1}, 10), normal = make_spec({2}, 10), high = make_spec({3}, 10);
    low.priority = Priority::kLow;
    high.priority = Priority::kHigh;
    ASSERT_TRUE(dispatcher_.submit(low, sinks[0], now_ns_));
    ASSERT_TRUE(dispatcher_.submit(normal, sinks[1], now_ns_ + 1));
    ASSERT_TRUE(dispatcher_.submit(high, sinks[2], now_ns_ + 2));
    // Twenty seconds of waiting are worth two priorities.
    ASSERT_TRUE(dispatcher_.submit(high, sinks[3], now_ns_ + 21 * kNsPerS));
    EXPECT_EQ(dispatcher_.room(), 0u);
    EXPECT_FALSE(dispatcher_.submit(high, sinks[4], now_ns_));

    const auto worker = add_worker(1);
    Ids order;
    for (const Assignment& work : worker->submissions)
        order.push_back(work.ids[0]);
    EXPECT_EQ(order, (Ids{3, 2, 1, 3}));
}

TEST_F(DispatcherTest, CreditsAreAHardLimit) {
    const auto worker = add_worker(1, 2);
    RecordingSink sinks[3];
    const uint64_t first = submit(sinks[0]);
    submit(sinks[1]);
    submit(sinks[2]);
    EXPECT_EQ(worker->submissions.size(), 2u);
    worker->publish_token(first, 1, 3, 2, shm::Finish::kEndOfGeneration);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(worker->submissions.size(), 3u);
}

TEST_F(DispatcherTest, ABusyWorkerIsAskedAgainAfterAPauseAndNothingFails) {
    const auto worker = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    worker->publish_give_back(id, 1, shm::GiveBackReason::kBusy);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(dispatcher_.waiting(), 1u);
    const uint64_t wake_ns = dispatcher_.wake_at_ns(now_ns_);
    ASSERT_LT(wake_ns, now_ns_ + kNsPerS);
    dispatcher_.poll(wake_ns);
    ASSERT_EQ(worker->submissions.size(), 2u);
    EXPECT_EQ(worker->submissions[1].attempt, 2u);
    EXPECT_EQ(board_.counter(Counter::kGenerationsResumed), 0u);
    EXPECT_TRUE(sink.ends.empty());
}

TEST_F(DispatcherTest, ADrainingWorkerGetsNothingNew) {
    const auto worker = add_worker(1);
    RecordingSink a, b;
    const uint64_t id = submit(a);
    worker->publish_give_back(id, 1, shm::GiveBackReason::kDraining);
    dispatcher_.poll(now_ns_);
    submit(b);
    dispatcher_.poll(now_ns_ + kNsPerS);
    EXPECT_EQ(worker->submissions.size(), 1u);
    EXPECT_FALSE(dispatcher_.has_ready_worker(1));
}

TEST_F(DispatcherTest, ThreeCountedDeathsQuarantineAndTheSecondIsolates) {
    RecordingSink suspect, bystander;
    const auto first = add_worker(1);
    const uint64_t id = submit(suspect, {6, 6, 6});
    kill_in_step(1, *first, id);
    const auto second = add_worker(2);
    ASSERT_EQ(second->submissions.size(), 1u);
    kill_in_step(2, *second, id);

    const auto third = add_worker(3);
    ASSERT_EQ(third->submissions.size(), 1u) << "an empty worker takes it at once";
    submit(bystander, {1});
    EXPECT_EQ(third->submissions.size(), 1u) << "nothing runs beside a suspect";
    kill_in_step(3, *third, id);
    EXPECT_EQ(suspect.ends, std::vector{EndReason::kQuarantined});

    const PromptDigest digest = digest_of(Ids{6, 6, 6});
    EXPECT_TRUE(dispatcher_.is_quarantined(digest, now_ns_ + 599 * kNsPerS));
    EXPECT_FALSE(dispatcher_.is_quarantined(digest, now_ns_ + 600 * kNsPerS));
    EXPECT_FALSE(dispatcher_.is_quarantined(digest_of(Ids{1}), now_ns_));
    EXPECT_EQ(add_worker(4)->submissions.size(), 1u) << "the bystander goes on";
}

TEST_F(DispatcherTest, ASuspectWaitsForAWorkerToBecomeEmpty) {
    RecordingSink suspect, other, later;
    auto worker = add_worker(1);
    const uint64_t id = submit(suspect);
    kill_in_step(1, *worker, id);
    worker = add_worker(2);
    kill_in_step(2, *worker, id);

    worker = add_worker(3, 8);  // takes the suspect: empty
    worker->publish_give_back(id, 3, shm::GiveBackReason::kBusy);
    dispatcher_.poll(now_ns_);
    const uint64_t beside = submit(other);
    now_ns_ = dispatcher_.wake_at_ns(now_ns_);
    dispatcher_.poll(now_ns_);
    const bool suspect_first = worker->submissions.back().flight == id;
    if (!suspect_first) {
        submit(later);
        EXPECT_EQ(worker->running.size(), 2u) << "reserved: nothing is added";
        worker->publish_token(beside, 1, 3, 2, shm::Finish::kEndOfGeneration);
        dispatcher_.poll(now_ns_);
    }
    EXPECT_EQ(worker->submissions.back().flight, id);
}

TEST_F(DispatcherTest, ASuspectDoesNotWaitForAWorkerThatDrains) {
    RecordingSink suspect, others[2];
    auto worker = add_worker(1);
    const uint64_t id = submit(suspect);
    kill_in_step(1, *worker, id);
    worker = add_worker(2);
    const auto busy = add_worker(3);
    submit(others[0]);  // to the empty one
    kill_in_step(2, *worker, id);
    ASSERT_EQ(busy->submissions.size(), 1u) << "reserved, and not yet empty";
    const auto free = add_worker(4, 8);
    EXPECT_TRUE(free->submissions.empty()) << "another one is reserved";
    busy->ready = false;
    dispatcher_.poll(now_ns_);
    ASSERT_EQ(free->submissions.size(), 1u);
    EXPECT_EQ(free->submissions[0].flight, id);
    // The one that was reserved takes others again when it is back.
    busy->ready = true;
    free->ready = false;
    submit(others[1]);
    EXPECT_EQ(busy->submissions.size(), 2u);
}

TEST_F(DispatcherTest, DeathsThatDoNotCount) {
    RecordingSink sink;
    uint64_t incarnation = 1;
    auto worker = add_worker(incarnation);
    const uint64_t id = submit(sink);
    for (int i = 0; i < 6; ++i) {
        worker->step_plan = i % 2 == 0 ? std::set<uint64_t>{} : std::set<uint64_t>{id};
        const auto end = i % 2 == 0 ? shm::PeerEnd::kOwnFault  // at fault, but not working on it
                                    : shm::PeerEnd::kKilled;   // working on it, killed from outside
        dispatcher_.remove_worker(incarnation, end, now_ns_);
        worker = add_worker(++incarnation);
    }
    EXPECT_TRUE(sink.ends.empty());
    // Progress between deaths: the series begins anew each time.
    uint32_t position = 3;
    for (int i = 0; i < 6; ++i) {
        worker->publish_token(id, worker->running[id].attempt, position++, 20);
        kill_in_step(incarnation, *worker, id);
        worker = add_worker(++incarnation);
    }
    EXPECT_TRUE(sink.ends.empty());
    EXPECT_EQ(sink.ids.size(), 6u);
    // Two more without a token make three in a row.
    kill_in_step(incarnation, *worker, id);
    worker = add_worker(++incarnation);
    kill_in_step(incarnation, *worker, id);
    EXPECT_EQ(sink.ends, std::vector{EndReason::kQuarantined});
}

TEST_F(DispatcherTest, CancelTellsTheWorkerAndSilencesTheSink) {
    const auto worker = add_worker(1, 1);
    RecordingSink running, waiting;
    const uint64_t a = submit(running);
    const uint64_t b = submit(waiting);
    dispatcher_.cancel(b, now_ns_);
    EXPECT_EQ(dispatcher_.waiting(), 0u);
    worker->publish_token(a, 1, 3, 20);
    dispatcher_.cancel(a, now_ns_);
    EXPECT_EQ(worker->cancels, (std::vector<std::pair<uint64_t, uint32_t>>{{a, 1}}));
    dispatcher_.poll(now_ns_);
    EXPECT_TRUE(running.ids.empty());
    EXPECT_TRUE(running.ends.empty());
    EXPECT_EQ(board_.counter(Counter::kGenerationsCancelled), 2u);
    dispatcher_.cancel(a, now_ns_);  // unknown by now
}

TEST_F(DispatcherTest, ASinkMayEndItsOwnFlightWhileItIsTold) {
    const auto worker = add_worker(1);
    RecordingSink sink;
    const uint64_t id = submit(sink);
    sink.on_batch = [&] { dispatcher_.complete(id, now_ns_); };
    worker->publish_token(id, 1, 3, 20);
    worker->publish_token(id, 1, 4, 21, shm::Finish::kEndOfGeneration);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.batches, 1u);
    EXPECT_TRUE(sink.ends.empty());
    EXPECT_EQ(dispatcher_.active(), 0u);
    EXPECT_EQ(board_.counter(Counter::kGenerationsFinished), 1u);
}

TEST_F(DispatcherTest, DeadlinesEndWaitingAndRunningFlights) {
    const auto worker = add_worker(1, 1);
    RecordingSink running, waiting;
    FlightSpec spec = make_spec({1, 2}, 10);
    spec.deadline_ns = now_ns_ + 1000;
    const uint64_t id = *dispatcher_.submit(spec, running, now_ns_);
    ASSERT_TRUE(dispatcher_.submit(spec, waiting, now_ns_));
    worker->publish_token(id, 1, 2, 20);
    EXPECT_EQ(dispatcher_.wake_at_ns(now_ns_), now_ns_ + 1000);
    dispatcher_.poll(now_ns_ + 999);
    EXPECT_TRUE(running.ends.empty());
    dispatcher_.poll(now_ns_ + 1000);
    EXPECT_EQ(running.ids, Ids{20});
    EXPECT_EQ(running.ends, std::vector{EndReason::kTimeout});
    EXPECT_EQ(waiting.ends, std::vector{EndReason::kTimeout});
    EXPECT_EQ(worker->cancels.size(), 1u);
}

TEST_F(DispatcherTest, FailuresAreTold) {
    const auto worker = add_worker(1);
    RecordingSink a, b;
    const uint64_t first = submit(a), second = submit(b);
    worker->publish_failed(first, 1, shm::FailureCode::kTooLong);
    worker->publish_failed(second, 1, shm::FailureCode::kBadNumbers);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(a.ends, std::vector{EndReason::kTooLong});
    EXPECT_EQ(b.ends, std::vector{EndReason::kBadNumbers});
}

TEST_F(DispatcherTest, FlightsOfARemovedModelEndWhenItsLastWorkerIsGone) {
    add_worker(1, 1);
    RecordingSink running, waiting;
    submit(running);
    submit(waiting);
    dispatcher_.remove_model(1, now_ns_);
    EXPECT_TRUE(waiting.ends.empty()) << "the worker may still take it";
    dispatcher_.remove_worker(1, shm::PeerEnd::kDrained, now_ns_);
    EXPECT_EQ(running.ends, std::vector{EndReason::kModelGone});
    EXPECT_EQ(waiting.ends, std::vector{EndReason::kModelGone});
}

TEST_F(DispatcherTest, EndAllLeavesNothing) {
    add_worker(1, 1);
    RecordingSink a, b;
    submit(a);
    submit(b);
    dispatcher_.end_all(EndReason::kShutdown, now_ns_);
    EXPECT_EQ(a.ends, std::vector{EndReason::kShutdown});
    EXPECT_EQ(b.ends, std::vector{EndReason::kShutdown});
    EXPECT_EQ(board_.gauge(Gauge::kActiveRequests), 0u);
}

TEST_F(DispatcherTest, WaitsFollowTheMeasuredPaceOfTheQueue) {
    const auto worker = add_worker(1, 1);
    const auto end_first = [&](RecordingSink&, uint64_t id) {
        now_ns_ += 2 * kNsPerS;
        worker->publish_token(id, 1, 3, 2, shm::Finish::kEndOfGeneration);
        dispatcher_.poll(now_ns_);
    };
    EXPECT_EQ(dispatcher_.wait_ns(1, Priority::kNormal, now_ns_), 0u);
    RecordingSink a, b, c, d;
    const uint64_t first = submit(a);
    EXPECT_EQ(dispatcher_.wait_ns(1, Priority::kNormal, now_ns_), 0u) << "nothing is measured";
    end_first(a, first);
    const uint64_t second = submit(b);
    EXPECT_EQ(dispatcher_.wait_ns(1, Priority::kNormal, now_ns_), 2 * kNsPerS)
        << "as long as an answer takes, with one place";
    const uint64_t third = submit(c);
    submit(d);
    end_first(b, second);
    end_first(c, third);
    EXPECT_EQ(dispatcher_.pace_ns(1, now_ns_), 2 * kNsPerS);
    RecordingSink e;
    submit(e);
    EXPECT_EQ(dispatcher_.wait_ns(1, Priority::kNormal, now_ns_), 4 * kNsPerS);
    EXPECT_EQ(dispatcher_.wait_ns(1, Priority::kHigh, now_ns_), 2 * kNsPerS);
}

TEST_F(DispatcherTest, AFlightGoesWhereItIsExpectedToFinishFirst) {
    const auto slow = add_worker(1, 8);
    const auto fast = add_worker(2, 8);
    slow->load = {.decode_ns = 20 * kNsPerMs, .row_ns = 4 * kNsPerMs};
    fast->load = {.decode_ns = 5 * kNsPerMs, .row_ns = kNsPerMs};
    RecordingSink sinks[5];
    for (RecordingSink& sink : sinks)
        submit(sink);
    EXPECT_EQ(fast->submissions.size(), 5u);
    EXPECT_TRUE(slow->submissions.empty());
}

TEST_F(DispatcherTest, AFlightGoesWhereItsPrefixIsAndWhereItHasPages) {
    const auto one = add_worker(1, 8);
    const auto two = add_worker(2, 8);
    for (const auto& worker : {one, two})
        worker->load = {.decode_ns = 5 * kNsPerMs,
                        .row_ns = kNsPerMs,
                        .page_tokens = 32,
                        .pages_total = 100,
                        .pages_used = 0};
    const std::vector<uint32_t> text(320, 7);
    RecordingSink a, b, c;
    ASSERT_TRUE(dispatcher_.submit(make_spec(text, 400), a, now_ns_));
    ASSERT_EQ(one->submissions.size(), 1u) << "with ties the lowest slot";
    one->publish_started(one->submissions[0].flight, 1, now_ns_);
    dispatcher_.poll(now_ns_);
    ASSERT_TRUE(dispatcher_.submit(make_spec(text, 400), b, now_ns_));
    EXPECT_EQ(one->submissions.size(), 2u) << "though it has more to do";
    one->load.pages_used = 95;
    ASSERT_TRUE(dispatcher_.submit(make_spec(text, 400), c, now_ns_));
    EXPECT_EQ(two->submissions.size(), 1u);
}

TEST_F(DispatcherTest, AFullRequestRingIsTriedAgainSoon) {
    const auto worker = add_worker(1);
    worker->is_behind = true;
    dispatcher_.poll(now_ns_);
    EXPECT_LE(dispatcher_.wake_at_ns(now_ns_), now_ns_ + kNsPerMs);
    worker->is_behind = false;
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(dispatcher_.wake_at_ns(now_ns_), UINT64_MAX);
}

// Else what is kept for a worker that hangs would grow with every client that comes and leaves.
TEST_F(DispatcherTest, AWorkerThatIsBehindGetsNoFurtherFlight) {
    const auto worker = add_worker(1);
    RecordingSink sinks[3];
    const uint64_t first = submit(sinks[0]);
    worker->is_behind = true;
    const uint64_t second = submit(sinks[1]);
    dispatcher_.cancel(first, now_ns_);
    dispatcher_.cancel(second, now_ns_);
    submit(sinks[2]);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(worker->submissions.size(), 1u);
    EXPECT_EQ(worker->cancels.size(), 1u);
    worker->room = true;
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(worker->submissions.size(), 2u) << "in the turn in which its ring has room";
}

}  // namespace
}  // namespace bitnetd::frontend
