// Goal: a canary gets copies and the share it was given, and nothing else; copies disturb nobody,
// are never resumed and show in no figure; a flight that changes its device says so.
// Method: a Dispatcher with scripted workers and a hand-turned clock.
#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "tests/unit/supervisor/frontend/dispatch/fake_worker.h"

namespace bitnetd::frontend {
namespace {

using Ids = std::vector<uint32_t>;
constexpr uint64_t kCanary = 50;

class CanaryFlights : public testing::Test {
  protected:
    std::shared_ptr<FakeWorkerState> add_worker(uint64_t incarnation, uint32_t credits = 8,
                                                std::string device = "cpu:0",
                                                uint64_t model_key = 1) {
        auto state = std::make_shared<FakeWorkerState>();
        WorkerFacts facts{incarnation, model_key, static_cast<uint32_t>(incarnation), credits,
                          device};
        facts.is_canary = incarnation == kCanary;
        dispatcher_.add_worker(std::move(facts), std::make_unique<FakeWorker>(state), now_ns_);
        return state;
    }
    uint64_t submit(FlightSpec spec, RecordingSink& sink) {
        return dispatcher_.submit(std::move(spec), sink, now_ns_).value_or(0);
    }
    uint64_t submit(RecordingSink& sink) { return submit(make_spec({7, 8, 9}, 100), sink); }
    static FlightSpec copy_spec() {
        FlightSpec spec = make_spec({7, 8, 9}, 5);
        spec.only_worker = kCanary;
        return spec;
    }
    static FlightSpec share_spec() {
        FlightSpec spec = make_spec({7, 8, 9}, 5);
        spec.may_use_canary = true;
        return spec;
    }

    TestBoard board_;
    uint64_t now_ns_ = kNsPerS;
    Dispatcher dispatcher_{board_.writer(), 4};
};

TEST_F(CanaryFlights, NoOrdinaryFlightGoesToACanary) {
    const auto canary = add_worker(kCanary);
    RecordingSink sink;
    submit(sink);
    EXPECT_TRUE(canary->submissions.empty());
    EXPECT_EQ(dispatcher_.waiting(), 1u);
    EXPECT_FALSE(dispatcher_.has_ready_worker(1));
    EXPECT_TRUE(dispatcher_.has_place(kCanary, now_ns_));
    dispatcher_.promote_worker(kCanary, now_ns_);
    EXPECT_EQ(canary->submissions.size(), 1u) << "now it is one like any other";
    EXPECT_TRUE(dispatcher_.has_ready_worker(1));
    dispatcher_.promote_worker(kCanary, now_ns_);
    dispatcher_.promote_worker(99, now_ns_);
}

TEST_F(CanaryFlights, ACopyGoesToItsWorkerAlone) {
    const auto other = add_worker(1);
    const auto canary = add_worker(kCanary);
    RecordingSink sink;
    const uint64_t id = submit(copy_spec(), sink);
    ASSERT_EQ(canary->submissions.size(), 1u);
    EXPECT_TRUE(other->submissions.empty());
    canary->publish_started(id, 1, now_ns_);
    canary->publish_token(id, 1, 3, 20);
    canary->publish_token(id, 1, 4, 21, shm::Finish::kLength);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ids, (Ids{20, 21}));
    EXPECT_EQ(sink.ends, std::vector{EndReason::kLength});
    EXPECT_EQ(dispatcher_.copies(), 0u);
}

TEST_F(CanaryFlights, ACopyShowsInNoFigure) {
    add_worker(1);
    const auto canary = add_worker(kCanary);
    RecordingSink ended;
    RecordingSink cancelled;
    const uint64_t id = submit(copy_spec(), ended);
    const uint64_t second = submit(copy_spec(), cancelled);
    EXPECT_EQ(dispatcher_.active(), 0u);
    EXPECT_EQ(dispatcher_.copies(), 2u);
    EXPECT_TRUE(dispatcher_.has_flights(1)) << "it pins its model";
    now_ns_ += kNsPerS;
    canary->publish_started(id, 1, now_ns_);
    canary->publish_token(id, 1, 3, 20);
    canary->publish_token(id, 1, 4, 21, shm::Finish::kLength);
    dispatcher_.poll(now_ns_);
    dispatcher_.cancel(second, now_ns_);
    for (const Counter counter :
         {Counter::kGenerationsAdmitted, Counter::kPromptTokens, Counter::kGeneratedTokens,
          Counter::kGenerationsFinished, Counter::kGenerationsCancelled}) {
        EXPECT_EQ(board_.counter(counter), 0u) << static_cast<int>(counter);
    }
    EXPECT_EQ(dispatcher_.service_ns(1), 0u);
    EXPECT_EQ(dispatcher_.pace_ns(1, now_ns_), 0u);
    EXPECT_EQ(dispatcher_.copies(), 0u);
    EXPECT_FALSE(dispatcher_.has_flights(1));
}

TEST_F(CanaryFlights, ACopyTakesNoPlaceInTheQueueAndNoOneWaitsForIt) {
    const auto other = add_worker(1, 1);
    const auto canary = add_worker(kCanary, 1);
    std::vector<RecordingSink> copies(8);  // twice what the queue holds
    for (RecordingSink& sink : copies)
        EXPECT_NE(submit(copy_spec(), sink), 0u);
    EXPECT_EQ(canary->submissions.size(), 1u);
    EXPECT_EQ(dispatcher_.room(), 4u);
    EXPECT_EQ(dispatcher_.wait_ns(1, Priority::kNormal, now_ns_), 0u);
    RecordingSink sink;
    submit(sink);
    EXPECT_EQ(other->submissions.size(), 1u);
    RecordingSink shared;
    submit(share_spec(), shared);  // both are busy
    const Assignment first = canary->submissions[0];
    canary->publish_token(first.flight, 1, 3, 20, shm::Finish::kEndOfGeneration);
    dispatcher_.poll(now_ns_);
    ASSERT_EQ(canary->submissions.size(), 2u);
    EXPECT_EQ(canary->submissions[1].position_limit, 5u);
    EXPECT_EQ(dispatcher_.waiting(), 0u) << "what a client waits for goes before copies";
}

TEST_F(CanaryFlights, CopiesEndWithTheirWorker) {
    const auto other = add_worker(1);
    const auto canary = add_worker(kCanary, 1);
    RecordingSink running;
    RecordingSink waiting;
    const uint64_t id = submit(copy_spec(), running);
    submit(copy_spec(), waiting);
    canary->publish_token(id, 1, 3, 20);
    canary->step_plan = {id};
    dispatcher_.remove_worker(kCanary, shm::PeerEnd::kOwnFault, now_ns_);
    EXPECT_EQ(running.ids, Ids{20});
    EXPECT_EQ(running.ends, std::vector{EndReason::kCanaryGone});
    EXPECT_EQ(waiting.ends, std::vector{EndReason::kCanaryGone});
    EXPECT_TRUE(other->submissions.empty()) << "never resumed elsewhere";
    EXPECT_EQ(board_.counter(Counter::kGenerationsResumed), 0u);
    EXPECT_EQ(board_.counter(Counter::kGenerationsFailed), 0u);
    EXPECT_EQ(dispatcher_.copies(), 0u);
    RecordingSink late;
    EXPECT_EQ(submit(copy_spec(), late), 0u) << "there is nobody to compute it";
}

TEST_F(CanaryFlights, DeathsOfACanaryQuarantineNobody) {
    for (int death = 0; death < 5; ++death) {
        const auto canary = add_worker(kCanary);
        RecordingSink sink;
        canary->step_plan = {submit(copy_spec(), sink)};
        dispatcher_.remove_worker(kCanary, shm::PeerEnd::kOwnFault, now_ns_);
    }
    EXPECT_FALSE(dispatcher_.is_quarantined(digest_of(Ids{7, 8, 9}), now_ns_));
}

TEST_F(CanaryFlights, ACopyThatIsGivenBackWaitsForItsWorkerOrEnds) {
    add_worker(1);
    const auto canary = add_worker(kCanary);
    RecordingSink sink;
    RecordingSink other;
    const uint64_t id = submit(copy_spec(), sink);
    canary->publish_give_back(id, 1, shm::GiveBackReason::kBusy);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(canary->submissions.size(), 1u);
    const uint64_t wake_ns = dispatcher_.wake_at_ns(now_ns_);
    ASSERT_NE(wake_ns, UINT64_MAX);
    now_ns_ = wake_ns;
    dispatcher_.poll(now_ns_);
    ASSERT_EQ(canary->submissions.size(), 2u);
    EXPECT_EQ(canary->submissions[1].attempt, 2u);
    submit(copy_spec(), other);
    canary->publish_give_back(id, 2, shm::GiveBackReason::kDraining);
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ends, std::vector{EndReason::kCanaryGone});
    EXPECT_TRUE(other.ends.empty()) << "it runs already, and is finished";
}

TEST_F(CanaryFlights, ACopyThatIsNeverTakenEndsInTime) {
    add_worker(kCanary, /*credits=*/0);
    RecordingSink sink;
    FlightSpec spec = copy_spec();
    spec.deadline_ns = now_ns_ + kNsPerMs;
    submit(std::move(spec), sink);
    now_ns_ += kNsPerMs;
    dispatcher_.poll(now_ns_);
    EXPECT_EQ(sink.ends, std::vector{EndReason::kTimeout});
    EXPECT_EQ(dispatcher_.copies(), 0u);
}

TEST_F(CanaryFlights, ASharedFlightHasTheCanaryFirstAndOthersAfter) {
    const auto other = add_worker(1);
    const auto canary = add_worker(kCanary, 1);
    RecordingSink first;
    RecordingSink second;
    const uint64_t id = submit(share_spec(), first);
    submit(share_spec(), second);
    ASSERT_EQ(canary->submissions.size(), 1u);
    EXPECT_EQ(other->submissions.size(), 1u) << "the canary was full";
    EXPECT_FALSE(dispatcher_.has_place(kCanary, now_ns_));
    canary->publish_token(id, 1, 3, 20);
    dispatcher_.remove_worker(kCanary, shm::PeerEnd::kKilled, now_ns_);
    ASSERT_EQ(other->submissions.size(), 2u) << "a client's flight lives on";
    EXPECT_EQ(other->submissions[1].ids, (Ids{7, 8, 9, 20}));
    EXPECT_EQ(board_.counter(Counter::kGenerationsResumed), 1u);
}

struct DeviceSink final : FlightSink {
    int changes = 0;
    void on_started(const FlightStart&) noexcept override {}
    void on_end(EndReason) noexcept override {}
    void on_device_changed() noexcept override { ++changes; }
};

TEST_F(CanaryFlights, AChangeOfDeviceIsToldOnce) {
    const std::pair<const char*, int> moves[] = {{"cpu:1", 0}, {"cuda:0", 1}};
    uint64_t incarnation = 0;
    for (const auto& [second_device, changes] : moves) {
        const auto first = add_worker(++incarnation);
        DeviceSink sink;
        const auto id = dispatcher_.submit(make_spec({7, 8, 9}, 100), sink, now_ns_).value();
        first->publish_started(id, 1, now_ns_);
        dispatcher_.poll(now_ns_);
        for (uint32_t attempt = 2; attempt < 4; ++attempt) {
            dispatcher_.remove_worker(incarnation, shm::PeerEnd::kKilled, now_ns_);
            const auto next = add_worker(++incarnation, 8, second_device);
            ASSERT_EQ(next->submissions.size(), 1u);
            next->publish_started(id, attempt, now_ns_);
            dispatcher_.poll(now_ns_);
        }
        EXPECT_EQ(sink.changes, changes) << second_device;
        dispatcher_.cancel(id, now_ns_);
        dispatcher_.remove_worker(incarnation, shm::PeerEnd::kKilled, now_ns_);
    }
}

TEST_F(CanaryFlights, AFlightIsResumedOnItsOwnKindOfDevice) {
    const auto first = add_worker(1, 8, "cpu:0");
    RecordingSink sink;
    const uint64_t id = submit(sink);
    first->publish_started(id, 1, now_ns_);
    dispatcher_.poll(now_ns_);
    const auto fast = add_worker(2, 8, "cuda:0");
    const auto alike = add_worker(3, 8, "cpu:1");
    alike->load = {.decode_ns = kNsPerS, .row_ns = kNsPerS};  // slow, and the same bytes
    dispatcher_.remove_worker(1, shm::PeerEnd::kKilled, now_ns_);
    EXPECT_EQ(alike->submissions.size(), 1u);
    EXPECT_TRUE(fast->submissions.empty());
}

}  // namespace
}  // namespace bitnetd::frontend
