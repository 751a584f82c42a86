// Goal: a rollout ends with all that is new, or with all that was there before, whatever fails and
// whenever; until its commit somebody serves what is old, and nothing retires that a generation
// still needs. Method: a fake fleet that does what a rollout says; chosen histories, then random
// ones (seeds are printed) in which workers fail, canaries answer wrongly and operators change
// their mind.
#include "supervisor/lifecycle/rollout/rollout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace bitnetd::supervisor {
namespace {

using shm::CanaryStage;
using shm::RolloutKind;
using shm::RolloutOutcome;
using shm::RolloutPhase;

constexpr uint64_t kSecond = 1'000'000'000;

struct FakeWorker {
    bool is_new;
    bool ready = false;
    bool leaving = false;
    bool canary = false;
    bool broken = false;  // it never gets ready
};

// Does at once what it is told, but for what takes time: that is in `pending` until the test lets
// it happen.
class FakeFleet final : public RolloutActions {
  public:
    FakeFleet(uint32_t worker_count, uint32_t frontend_count)
        : next_(worker_count), next_f_(frontend_count) {
        for (uint32_t i = 0; i < worker_count; ++i)
            workers[i] = {.is_new = false, .ready = true};
        for (uint32_t i = 0; i < frontend_count; ++i)
            frontends[i] = {.is_new = false, .ready = true};
    }

    void load() override { loading = true; }
    SlotId start_worker(bool canary) override { return start(true, canary); }
    SlotId restore_worker(SlotId like) override {
        EXPECT_FALSE(workers.contains(like) && !workers[like].leaving);
        return start(false, false);
    }
    void test_worker(SlotId worker) override { testing = worker; }
    void promote_worker(SlotId worker) override { workers.at(worker).canary = false; }
    void retire_worker(SlotId worker) override {
        FakeWorker& it = workers.at(worker);
        EXPECT_FALSE(it.leaving) << "told twice to go";
        it.leaving = true;
    }
    SlotId start_frontend() override {
        frontends[next_f_] = {.is_new = true};
        return next_f_++;
    }
    SlotId restore_frontend() override {
        frontends[next_f_] = {.is_new = false};
        return next_f_++;
    }
    void retire_frontend(SlotId frontend, SlotId) override { frontends.erase(frontend); }
    void set_canary(CanaryStage now, SlotId worker) override {
        stage = now;
        if (now != CanaryStage::kOff) {
            EXPECT_TRUE(workers.at(worker).canary);
        }
    }
    void serve_new() override {
        EXPECT_TRUE(has(true)) << "nobody is there to serve it";
        serves_new = true;
        releasing = true;
    }
    void serve_old() override {
        serves_new = false;
        releasing = true;
    }
    void retire_old() override { releasing = true; }
    void forget_model(bool new_one) override {
        for (const auto& [id, worker] : workers)
            EXPECT_NE(worker.is_new, new_one) << "its worker " << id << " is still there";
        forgotten.insert(new_one);
    }
    void commit() override { committed = true; }
    // The end once, and nothing after it.
    void on_moved() override {
        EXPECT_FALSE(told_over);
        told_over = rollout != nullptr && rollout->is_over();
    }

    // Of that kind, ready, and not told to go.
    bool has(bool is_new) const {
        return std::any_of(workers.begin(), workers.end(), [is_new](const auto& entry) {
            return entry.second.is_new == is_new && entry.second.ready && !entry.second.leaving;
        });
    }
    size_t count(bool is_new) const {
        return static_cast<size_t>(
            std::count_if(workers.begin(), workers.end(),
                          [is_new](const auto& entry) { return entry.second.is_new == is_new; }));
    }

    std::map<SlotId, FakeWorker> workers;
    std::map<SlotId, FakeWorker> frontends;
    bool loading = false;
    std::optional<SlotId> testing;
    bool serves_new = false;
    bool releasing = false;
    bool committed = false;
    CanaryStage stage = CanaryStage::kOff;
    std::set<bool> forgotten;
    const Rollout* rollout = nullptr;  // for on_moved()
    bool told_over = false;

  private:
    SlotId start(bool is_new, bool canary) {
        workers[next_] = {.is_new = is_new, .canary = canary};
        return next_++;
    }
    SlotId next_;
    SlotId next_f_;
};

RolloutPlan swap_plan(uint32_t workers) {
    RolloutPlan plan;
    plan.kind = RolloutKind::kSwap;
    plan.old_key = 1;
    plan.loads_model = true;
    for (uint32_t i = 0; i < workers; ++i)
        plan.workers.push_back(i);
    plan.workers_new = workers;
    plan.canary_copies = 3;
    plan.canary_share = 2;
    plan.canary_timeout_ns = 10 * kSecond;
    plan.speed_ratio_min = 0.5f;
    return plan;
}

RolloutPlan upgrade_plan(uint32_t workers, uint32_t frontends) {
    RolloutPlan plan = swap_plan(workers);
    plan.kind = RolloutKind::kUpgrade;
    plan.old_key = 0;
    plan.loads_model = false;
    plan.frontends_new = frontends;
    for (uint32_t i = 0; i < frontends; ++i)
        plan.frontends.push_back(i);
    return plan;
}

// Lets one thing happen that was asked for; false: nothing is outstanding.
bool turn(FakeFleet& fleet, Rollout& rollout, uint64_t now) {
    if (rollout.is_over()) return false;
    if (fleet.loading) {
        fleet.loading = false;
        rollout.on_loaded(now);
        return true;
    }
    for (auto& [id, worker] : fleet.workers) {
        if (worker.leaving) {
            const SlotId gone = id;
            fleet.workers.erase(gone);
            rollout.on_worker_gone(gone, now);
            return true;
        }
        if (!worker.ready && !worker.broken) {
            worker.ready = true;
            rollout.on_worker_ready(id, now);
            return true;
        }
    }
    for (auto& [id, frontend] : fleet.frontends) {
        if (frontend.ready) continue;
        frontend.ready = true;
        rollout.on_frontend_ready(id, now);
        return true;
    }
    if (fleet.releasing) {
        fleet.releasing = false;
        rollout.on_released(now);
        return true;
    }
    if (fleet.testing) {
        fleet.testing.reset();
        rollout.on_tested(true, "", now);
        return true;
    }
    if (fleet.stage != CanaryStage::kOff) {
        rollout.on_canary({.completed = 3, .speed_ratio = 1}, now);
        return true;
    }
    return false;
}

TEST(Rollout, SwapsOneWorkerAfterTheOther) {
    FakeFleet fleet(3, 1);
    Rollout rollout(swap_plan(3), fleet);
    rollout.start(1);
    size_t most = 0;
    while (turn(fleet, rollout, 2)) {
        most = std::max(most, fleet.workers.size());
        if (!fleet.serves_new) {
            EXPECT_TRUE(fleet.has(false));
        }
        EXPECT_TRUE(fleet.has(true) || fleet.has(false));
    }
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kCompleted);
    EXPECT_EQ(fleet.count(true), 3u);
    EXPECT_EQ(fleet.count(false), 0u);
    EXPECT_EQ(most, 4u) << "more than one beside the old ones";
    EXPECT_EQ(fleet.forgotten, std::set<bool>{false});
    EXPECT_EQ(rollout.progress(), 1.0f);
}

TEST(Rollout, BlueGreenStartsAllBesideTheOldOnes) {
    FakeFleet fleet(2, 0);
    RolloutPlan plan = swap_plan(2);
    plan.strategy = shm::SwapStrategy::kBlueGreen;
    Rollout rollout(plan, fleet);
    rollout.start(1);
    bool all_four = false;
    while (turn(fleet, rollout, 2)) {
        all_four = all_four || fleet.workers.size() == 4;
        if (fleet.serves_new) {
            EXPECT_EQ(fleet.count(true), 2u);
        }
    }
    EXPECT_TRUE(all_four);
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kCompleted);
}

TEST(Rollout, LastOldWorkerStaysUntilNoGenerationNeedsIt) {
    FakeFleet fleet(1, 0);
    Rollout rollout(swap_plan(1), fleet);
    rollout.start(1);
    while (rollout.phase() != RolloutPhase::kCommit)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    EXPECT_TRUE(fleet.has(false));
    EXPECT_TRUE(fleet.serves_new);
    ASSERT_TRUE(fleet.releasing);
    while (turn(fleet, rollout, 3)) {
    }
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kCompleted);
}

TEST(Rollout, FileThatIsRefusedChangesNothing) {
    FakeFleet fleet(2, 0);
    Rollout rollout(swap_plan(2), fleet);
    rollout.start(1);
    rollout.on_refused("tensor output.weight: expected 256 rows, found 255", 2);
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kFailed);
    EXPECT_EQ(rollout.phase(), RolloutPhase::kPrepare) << "where it failed";
    EXPECT_EQ(rollout.phase_ns(RolloutPhase::kPrepare, 9), 1u);
    EXPECT_EQ(rollout.reason(), "tensor output.weight: expected 256 rows, found 255");
    EXPECT_EQ(fleet.count(false), 2u);
    EXPECT_EQ(fleet.count(true), 0u);
    EXPECT_EQ(fleet.forgotten, std::set<bool>{true});
}

TEST(Rollout, CanaryThatAnswersOtherwiseGoesBackBeforeAnythingIsServed) {
    FakeFleet fleet(2, 1);
    RolloutPlan plan = upgrade_plan(2, 1);
    plan.must_equal = true;
    Rollout rollout(plan, fleet);
    rollout.start(1);
    while (fleet.stage != CanaryStage::kCopies)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    rollout.on_canary({.completed = 1, .different = 1}, 3);
    EXPECT_TRUE(rollout.is_rolling_back());
    while (turn(fleet, rollout, 4)) {
    }
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kRolledBack);
    EXPECT_NE(rollout.reason().find("1 of 1 copies"), std::string::npos);
    EXPECT_EQ(fleet.count(true), 0u);
    EXPECT_EQ(fleet.count(false), 2u);
    EXPECT_FALSE(fleet.committed);
}

TEST(Rollout, SlowCanaryIsRolledBackAndALittleTrafficSaysNothing) {
    FakeFleet fleet(1, 0);
    Rollout rollout(swap_plan(1), fleet);
    rollout.start(1);
    while (fleet.stage != CanaryStage::kCopies)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    rollout.on_canary({.completed = 1, .speed_ratio = 0}, 3);
    EXPECT_FALSE(rollout.is_rolling_back());
    rollout.on_canary({.completed = 2, .speed_ratio = 0.33f}, 4);
    EXPECT_TRUE(rollout.is_rolling_back());
}

TEST(Rollout, WithoutTrafficTheStagesEndByTime) {
    FakeFleet fleet(1, 0);
    Rollout rollout(swap_plan(1), fleet);
    rollout.start(1);
    while (fleet.stage != CanaryStage::kCopies)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    rollout.on_time(rollout.deadline_ns() - 1);
    EXPECT_EQ(fleet.stage, CanaryStage::kCopies);
    rollout.on_time(rollout.deadline_ns());
    EXPECT_EQ(fleet.stage, CanaryStage::kShare);
    rollout.on_time(rollout.deadline_ns());
    EXPECT_EQ(fleet.stage, CanaryStage::kOff);
    EXPECT_EQ(rollout.phase(), RolloutPhase::kCommit);
}

TEST(Rollout, WorkerThatFailsItsTestSeesNoRequest) {
    for (const bool in_time : {true, false}) {
        FakeFleet fleet(2, 0);
        RolloutPlan plan = swap_plan(2);
        plan.self_test = true;
        plan.test_timeout_ns = kSecond;
        Rollout rollout(plan, fleet);
        rollout.start(1);
        while (!fleet.testing)
            ASSERT_TRUE(turn(fleet, rollout, 2));
        if (in_time) {
            rollout.on_tested(false, "prompt 1 gave no token", 3);
            EXPECT_EQ(rollout.reason(), "self-test: prompt 1 gave no token");
        } else {
            rollout.on_time(rollout.deadline_ns());
        }
        fleet.testing.reset();
        EXPECT_TRUE(rollout.is_rolling_back());
        while (turn(fleet, rollout, 4)) {
            EXPECT_EQ(fleet.stage, CanaryStage::kOff);
        }
        EXPECT_EQ(rollout.outcome(), RolloutOutcome::kRolledBack);
        EXPECT_EQ(rollout.phase(), RolloutPhase::kVerify) << "where it turned back";
        EXPECT_EQ(fleet.count(false), 2u);
    }
}

TEST(Rollout, NobodyAsksSoNoCanaryIsWaitedFor) {
    FakeFleet fleet(1, 0);
    Rollout rollout(swap_plan(1), fleet);
    rollout.start(1);
    while (fleet.stage != CanaryStage::kCopies)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    rollout.on_idle(3);
    EXPECT_EQ(fleet.stage, CanaryStage::kOff);
    EXPECT_EQ(rollout.phase(), RolloutPhase::kCommit);
}

TEST(Rollout, LoadOfANewModelStartsAllItsWorkers) {
    FakeFleet fleet(0, 1);
    RolloutPlan plan = swap_plan(0);
    plan.kind = RolloutKind::kLoad;
    plan.old_key = 0;
    plan.workers_new = 2;
    Rollout rollout(plan, fleet);
    rollout.start(1);
    while (!fleet.serves_new)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    EXPECT_EQ(fleet.count(true), 2u);
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kCompleted);
}

TEST(Rollout, RemovedModelLeavesWhenReleased) {
    FakeFleet fleet(2, 1);
    RolloutPlan plan = swap_plan(2);
    plan.kind = RolloutKind::kRemove;
    plan.loads_model = false;
    plan.workers_new = 0;
    Rollout rollout(plan, fleet);
    rollout.start(1);
    EXPECT_EQ(fleet.count(false), 2u);
    EXPECT_TRUE(fleet.has(false));
    while (turn(fleet, rollout, 2)) {
    }
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kCompleted);
    EXPECT_TRUE(fleet.workers.empty());
}

// A changed number of workers or frontends: each old one still goes only when a new one came.
TEST(Rollout, NumbersMayChange) {
    for (const auto& [before, after] : {std::pair(3u, 1u), std::pair(1u, 4u)}) {
        FakeFleet fleet(before, before);
        RolloutPlan plan = upgrade_plan(before, before);
        plan.workers_new = after;
        plan.frontends_new = after;
        Rollout rollout(plan, fleet);
        rollout.start(1);
        while (turn(fleet, rollout, 2)) {
            EXPECT_TRUE(fleet.has(true) || fleet.has(false));
        }
        EXPECT_EQ(rollout.outcome(), RolloutOutcome::kCompleted);
        EXPECT_EQ(fleet.count(true), after);
        EXPECT_EQ(fleet.count(false), 0u);
        EXPECT_EQ(fleet.frontends.size(), after);
    }
}

TEST(Rollout, PhasesSayHowLongTheyTook) {
    FakeFleet fleet(1, 0);
    Rollout rollout(swap_plan(1), fleet);
    rollout.start(10);
    EXPECT_EQ(rollout.phase_ns(RolloutPhase::kPrepare, 15), 5u);
    rollout.on_loaded(30);
    EXPECT_EQ(rollout.phase_ns(RolloutPhase::kPrepare, 100), 20u);
    EXPECT_EQ(rollout.phase_ns(RolloutPhase::kVerify, 100), 70u);
    rollout.fail("an operator", 100);
    EXPECT_EQ(rollout.rollback_ns(140), 40u);
}

TEST(Rollout, RestoredWorkerThatFailsHoldsNothingUp) {
    FakeFleet fleet(3, 1);
    Rollout rollout(upgrade_plan(3, 1), fleet);
    rollout.start(1);
    while (fleet.count(true) < 2)
        ASSERT_TRUE(turn(fleet, rollout, 2));
    rollout.fail("an operator", 3);
    ASSERT_TRUE(rollout.is_rolling_back());
    const SlotId restored = fleet.workers.rbegin()->first;
    ASSERT_FALSE(fleet.workers.at(restored).is_new);
    fleet.workers.at(restored).broken = true;
    rollout.on_worker_failed(restored, "signal 11", 4);
    while (turn(fleet, rollout, 5)) {
    }
    EXPECT_EQ(rollout.outcome(), RolloutOutcome::kRolledBack);
    EXPECT_EQ(rollout.reason(), "an operator");
    EXPECT_EQ(fleet.count(false), 3u);
    EXPECT_EQ(fleet.count(true), 0u);
}

TEST(Rollout, WhatTakesABrokenOnesPlaceMayFailAndTheFirstMayNot) {
    for (const uint32_t failing : {1u, 0u}) {
        FakeFleet fleet(2, 1);
        RolloutPlan plan = upgrade_plan(2, 1);
        plan.workers_may_fail = 1;
        Rollout rollout(plan, fleet);
        rollout.start(1);
        while (fleet.count(true) <= failing)
            ASSERT_TRUE(turn(fleet, rollout, 2));
        const SlotId fails = 2 + failing;
        fleet.workers.at(fails).broken = true;
        rollout.on_worker_failed(fails, "no such device", 3);
        while (turn(fleet, rollout, 4)) {
        }
        EXPECT_EQ(rollout.outcome(),
                  failing == 1 ? RolloutOutcome::kCompleted : RolloutOutcome::kRolledBack);
        EXPECT_EQ(fleet.count(failing == 1), 2u);
    }
}

// Random failures at random moments.
class RolloutHistories : public testing::TestWithParam<int> {};

TEST_P(RolloutHistories, EndAllNewOrAllOld) {
    for (uint32_t seed = 0; seed < 400; ++seed) {
        std::mt19937 draw(seed * 4 + static_cast<uint32_t>(GetParam()));
        const uint32_t workers = 1 + draw() % 4;
        const uint32_t frontends = draw() % 3;
        const bool upgrade = GetParam() % 2 == 0;
        FakeFleet fleet(workers, frontends);
        RolloutPlan plan = upgrade ? upgrade_plan(workers, frontends) : swap_plan(workers);
        plan.self_test = draw() % 2 == 0;
        plan.test_timeout_ns = kSecond;
        plan.workers_may_fail = draw() % workers;
        if (GetParam() >= 2) plan.strategy = shm::SwapStrategy::kBlueGreen;
        Rollout rollout(plan, fleet);
        fleet.rollout = &rollout;
        rollout.start(1);
        SCOPED_TRACE("seed " + std::to_string(seed));
        for (uint64_t now = 2; !rollout.is_over(); ++now) {
            ASSERT_LT(now, 1000u) << "it does not end";
            switch (draw() % 12) {
                case 0:  // some worker that was started dies by its own doing
                    for (auto& [id, worker] : fleet.workers) {
                        if (id < workers || worker.leaving || draw() % 2 == 0) continue;
                        worker.ready = false;
                        worker.broken = draw() % 2 == 0;
                        rollout.on_worker_failed(id, "signal 11", now);
                        break;
                    }
                    break;
                case 1:
                    if (draw() % 4 == 0) rollout.fail("an operator", now);
                    break;
                case 2:
                    if (fleet.stage != CanaryStage::kOff && draw() % 3 == 0) {
                        rollout.on_canary({.completed = 1, .failed = 1}, now);
                    }
                    break;
                default:
                    turn(fleet, rollout, now);
                    break;
            }
            if (!fleet.serves_new && !fleet.committed && !upgrade) {
                const bool restoring = rollout.is_rolling_back();
                EXPECT_TRUE(fleet.has(false) || restoring);
            }
        }
        const bool completed = rollout.outcome() == RolloutOutcome::kCompleted;
        EXPECT_EQ(fleet.count(completed), workers);
        EXPECT_EQ(fleet.count(!completed), 0u);
        if (!upgrade) {
            EXPECT_EQ(fleet.serves_new, completed);
        }
        EXPECT_EQ(fleet.stage, CanaryStage::kOff);
        EXPECT_TRUE(fleet.told_over);
        for (const auto& [id, frontend] : fleet.frontends)
            EXPECT_EQ(frontend.is_new && upgrade, completed && upgrade) << id;
        EXPECT_EQ(fleet.frontends.size(), frontends);
    }
}

INSTANTIATE_TEST_SUITE_P(Kinds, RolloutHistories, testing::Range(0, 4));

}  // namespace
}  // namespace bitnetd::supervisor
