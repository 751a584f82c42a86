// Goal: off never drafts, on drafts what fits, auto drafts where the measured steps say that it
// pays, notices when it does not, and finds out when it does again.
// Method: machines whose step times are formulas; no clock.
#include "worker/speculation/draft_planner.h"

#include <gtest/gtest.h>

#include <functional>

namespace bitnetd::worker {
namespace {

// One or more sequences that all guess 8 ids each step, of which the first `right` are right.
class Machine {
  public:
    Machine(SpeculationMode mode, std::function<double(uint32_t)> step_ns)
        : planner_({mode, 8}, 64), step_ns_(std::move(step_ns)) {}

    // The drafts of the first sequence in a step of `sequences`.
    uint32_t step(uint32_t sequences, uint32_t right) {
        const uint32_t wanted = planner_.begin_step(sequences, 0, 200);
        uint32_t rows = sequences;
        uint32_t first = 0;
        for (uint32_t slot = 0; slot < sequences && wanted > 0; ++slot) {
            const uint32_t drafts = planner_.drafts_of(slot, wanted);
            EXPECT_LE(drafts, wanted);
            if (slot == 0) first = drafts;
            rows += drafts;
            for (uint32_t i = 0; i <= drafts && i < wanted && i <= right; ++i)
                planner_.guess_was(slot, i < right);
        }
        planner_.step_took(rows, 0, static_cast<uint64_t>(step_ns_(rows)));
        return first;
    }
    double mean_drafts(uint32_t sequences, uint32_t right, uint32_t steps = 300) {
        double sum = 0;
        for (uint32_t i = 0; i < steps; ++i)
            sum += step(sequences, right);
        return sum / steps;
    }
    DraftPlanner& planner() { return planner_; }

  private:
    DraftPlanner planner_;
    std::function<double(uint32_t)> step_ns_;
};

double memory_bound(uint32_t rows) {
    return 30e6 + 0.2e6 * rows;
}
double arithmetic_bound(uint32_t rows) {
    return 20e6 * rows;
}
// The kernel for few rows takes four at a time.
double in_fours(uint32_t rows) {
    return 30e6 * ((rows + 3) / 4);
}

TEST(DraftPlanner, OffNeverDrafts) {
    DraftPlanner planner({SpeculationMode::kOff, 8}, 4);
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(planner.begin_step(1, 0, 100), 0u);
        planner.step_took(1, 0, 1000);
    }
}

TEST(DraftPlanner, OnDraftsWhatFitsEvenly) {
    DraftPlanner planner({SpeculationMode::kOn, 5}, 4);
    EXPECT_EQ(planner.begin_step(3, 100, 8), 5u);
    EXPECT_EQ(planner.drafts_of(0, 5), 2u);  // 8 rows for three
    EXPECT_EQ(planner.drafts_of(1, 1), 1u);
    EXPECT_EQ(planner.drafts_of(2, 5), 5u);  // what the others left
    EXPECT_EQ(planner.begin_step(2, 0, 0), 5u);
    EXPECT_EQ(planner.drafts_of(0, 5), 0u);
    EXPECT_EQ(planner.begin_step(0, 50, 0), 0u);
}

TEST(DraftPlanner, AutoDraftsMuchWhereRowsAreNearlyFree) {
    Machine machine(SpeculationMode::kAuto, memory_bound);
    machine.mean_drafts(1, 8);
    EXPECT_GT(machine.mean_drafts(1, 8), 7.5);
    EXPECT_GT(machine.mean_drafts(3, 8), 7);
}

TEST(DraftPlanner, AutoStopsWhereRowsHaveTheirPrice) {
    Machine machine(SpeculationMode::kAuto, arithmetic_bound);
    machine.mean_drafts(1, 4);
    EXPECT_LT(machine.mean_drafts(1, 4), 0.1);
    EXPECT_LT(machine.mean_drafts(4, 4), 0.1);
}

TEST(DraftPlanner, AutoFillsWhatAKernelTakesAnyway) {
    Machine machine(SpeculationMode::kAuto, in_fours);
    machine.mean_drafts(1, 2, 3000);
    EXPECT_GT(machine.mean_drafts(1, 2), 1.5);
    EXPECT_LT(machine.mean_drafts(1, 2), 3.5);
}

TEST(DraftPlanner, AutoStopsWhenGuessesAreWrongAndNoticesWhenTheyAreRightAgain) {
    Machine machine(SpeculationMode::kAuto, [](uint32_t rows) { return 1e6 + 0.3e6 * rows; });
    machine.mean_drafts(1, 0);
    EXPECT_LT(machine.mean_drafts(1, 0), 0.1);
    machine.mean_drafts(1, 8, 50);
    EXPECT_GT(machine.mean_drafts(1, 8), 6);
}

TEST(DraftPlanner, OneSlowStepRulesNothingOutForGood) {
    uint64_t steps = 0;
    Machine machine(SpeculationMode::kAuto, [&](uint32_t rows) {
        return memory_bound(rows) * (++steps == 2 ? 100 : 1);  // the first one with drafts
    });
    EXPECT_LT(machine.mean_drafts(1, 8, 100), 7);
    machine.mean_drafts(1, 8, 2 * StepCosts::kFreshSteps);
    EXPECT_GT(machine.mean_drafts(1, 8), 7.5);
}

TEST(DraftPlanner, AutoLeavesStepsWithPromptsAndLargeBatchesAlone) {
    DraftPlanner planner({SpeculationMode::kAuto, 8}, 64);
    for (uint32_t rows = 1; rows <= 40; ++rows)
        planner.step_took(rows, 0, 1000);
    EXPECT_EQ(planner.begin_step(1, 1, 100), 0u);
    EXPECT_EQ(planner.begin_step(StepCosts::kRowsMax, 0, 100), 0u);
    EXPECT_EQ(planner.begin_step(1, 0, 100), 8u);
    EXPECT_EQ(planner.drafts_of(0, 8), 8u);
}

TEST(DraftPlanner, AutoStaysWithinTheCurveAndTheStep) {
    DraftPlanner planner({SpeculationMode::kAuto, 16}, 64);
    for (uint32_t rows = 1; rows <= StepCosts::kRowsMax; ++rows)
        planner.step_took(rows, 0, 1000);
    ASSERT_EQ(planner.begin_step(20, 0, 100), 16u);
    uint32_t rows = 20;
    for (uint32_t slot = 0; slot < 20; ++slot)
        rows += planner.drafts_of(slot, 16);
    EXPECT_EQ(rows, StepCosts::kRowsMax);
    ASSERT_EQ(planner.begin_step(1, 0, 3), 16u);
    EXPECT_EQ(planner.drafts_of(0, 16), 3u);
}

TEST(DraftPlanner, ANewSequenceOfASlotStartsAfresh) {
    Machine machine(SpeculationMode::kAuto, [](uint32_t rows) { return 1e6 + 0.3e6 * rows; });
    machine.mean_drafts(1, 0);
    EXPECT_EQ(machine.step(1, 0), 0u);
    machine.planner().forget(0);
    EXPECT_GT(machine.step(1, 0), 0u);
}

TEST(StepCosts, MeasuredThenBetweenThenNearest) {
    StepCosts costs;
    EXPECT_EQ(costs.of(3), 0);
    costs.step_took(2, 100);
    costs.step_took(6, 300);
    EXPECT_EQ(costs.of(1), 100);
    EXPECT_EQ(costs.of(2), 100);
    EXPECT_EQ(costs.of(3), 150);
    EXPECT_EQ(costs.of(6), 300);
    EXPECT_EQ(costs.of(32), 300);
    costs.step_took(2, 180);
    EXPECT_EQ(costs.of(2), 110);
    EXPECT_FALSE(costs.is_measured(3));
    costs.step_took(100, 1);  // beyond the curve
    EXPECT_EQ(costs.of(32), 300);
}

TEST(StepCosts, ForgetsWhatIsNotRenewed) {
    StepCosts costs;
    costs.step_took(2, 100);
    for (uint64_t i = 0; i < StepCosts::kFreshSteps; ++i)
        costs.step_took(1, 10);
    EXPECT_EQ(costs.of(2), 100);
    costs.step_took(1, 10);
    EXPECT_FALSE(costs.is_measured(2));
    EXPECT_EQ(costs.of(2), 10);
    costs.step_took(2, 500);  // not mixed with what was forgotten
    EXPECT_EQ(costs.of(2), 500);
}

}  // namespace
}  // namespace bitnetd::worker
