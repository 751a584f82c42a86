// Goal: the scheduler's rules one by one: decodes before prompts, rank, pages, hold, end.
// Method: small hand-made histories with the expected plan written out.
#include "worker/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <tuple>

namespace bitnetd::worker {
namespace {

constexpr SchedulerLimits kLimits = {
    .slots_max = 8, .step_tokens_max = 16, .page_tokens = 4, .pages_total = 32};

using Row = std::tuple<uint32_t, uint32_t, uint32_t, bool>;  // slot, first, count, draws

std::vector<Row> rows_of(const Plan& plan) {
    std::vector<Row> rows;
    for (const PlanEntry& entry : plan.entries) {
        rows.emplace_back(entry.slot, entry.first, entry.count, entry.draws);
    }
    return rows;
}

std::vector<Row> step(Scheduler& scheduler) {
    const Plan plan = scheduler.next_step();
    const std::vector<Row> rows = rows_of(plan);
    scheduler.step_done();
    for (const auto& [slot, first, count, draws] : rows) {
        if (draws) scheduler.tokens_drawn(slot, 1);
    }
    return rows;
}

TEST(Scheduler, ComputesAPromptInChunksThenOneRowAtATime) {
    Scheduler scheduler(kLimits);
    scheduler.submit(3, {Priority::kNormal, 20, 30});
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{3, 0, 16, false}}));
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{3, 16, 4, true}}));
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{3, 20, 1, true}}));
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{3, 21, 1, true}}));
}

TEST(Scheduler, DecodesGoBeforePromptsAndALongPromptTakesOnlyWhatIsLeft) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kNormal, 2, 8});
    step(scheduler);
    scheduler.submit(1, {Priority::kHigh, 40, 48});
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{0, 2, 1, true}, {1, 0, 15, false}}));
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{0, 3, 1, true}, {1, 15, 15, false}}));
}

TEST(Scheduler, TellsPromptRowsFromDecodeRows) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kNormal, 1, 8});
    step(scheduler);
    scheduler.submit(1, {Priority::kNormal, 5, 8});
    const Plan plan = scheduler.next_step();
    EXPECT_EQ(plan.rows, 6u);
    EXPECT_EQ(plan.prompt_rows, 5u);
    ASSERT_EQ(plan.admitted.size(), 1u);
    EXPECT_EQ(plan.admitted[0], 1u);
}

TEST(Scheduler, HigherClassesGoFirstWithinTheHeadStart) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kLow, 10, 12});
    scheduler.submit(1, {Priority::kNormal, 10, 12});
    scheduler.submit(2, {Priority::kHigh, 10, 12});
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{2, 0, 10, true}, {1, 0, 6, false}}));
}

TEST(Scheduler, ALowSequenceIsNotStarvedByAnEndlessRowOfHighOnes) {
    Scheduler scheduler(
        {.slots_max = 3, .step_tokens_max = 16, .page_tokens = 4, .pages_total = 2});
    // Two pages: one sequence runs at a time; a new high one is always waiting when one ends.
    scheduler.submit(0, {Priority::kHigh, 4, 8});
    scheduler.submit(1, {Priority::kLow, 4, 8});
    uint32_t running = 0;
    uint32_t submitted = 0;
    for (; running != 1 && submitted < 4 * kHeadStart; ++submitted) {
        const Plan plan = scheduler.next_step();
        if (!plan.admitted.empty()) running = plan.admitted[0];
        if (running == 1) break;
        scheduler.step_done();
        const uint32_t next = running == 0 ? 2 : 0;
        scheduler.submit(next, {Priority::kHigh, 4, 8});
        scheduler.end(running);
    }
    EXPECT_EQ(running, 1u);
    EXPECT_LE(submitted, 2 * kHeadStart + 2);
}

TEST(Scheduler, WaitsForPagesAndLetsNobodyPassTheOneThatWaits) {
    Scheduler scheduler(kLimits);                      // 32 pages of 4
    scheduler.submit(0, {Priority::kNormal, 4, 100});  // 25 pages
    scheduler.submit(1, {Priority::kNormal, 4, 60});   // 15 pages: must wait
    scheduler.submit(2, {Priority::kNormal, 4, 8});    // would fit, but is behind
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{0, 0, 4, true}}));
    EXPECT_EQ(scheduler.waiting(), 2u);
    EXPECT_EQ(scheduler.pages_free(), 7u);
    scheduler.end(0);
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{1, 0, 4, true}, {2, 0, 4, true}}));
    EXPECT_EQ(scheduler.pages_free(), 32u - 15u - 2u);
}

TEST(Scheduler, KnowsWhatCanNeverRun) {
    const Scheduler scheduler(kLimits);
    EXPECT_TRUE(scheduler.can_ever_run(128));
    EXPECT_FALSE(scheduler.can_ever_run(129));
}

TEST(Scheduler, AHeldSequenceStandsStillAndOthersGoOn) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kNormal, 2, 20});
    scheduler.submit(1, {Priority::kNormal, 2, 20});
    step(scheduler);
    scheduler.hold(0, true);
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{1, 2, 1, true}}));
    scheduler.hold(0, false);
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{0, 2, 1, true}, {1, 3, 1, true}}));
}

TEST(Scheduler, EndFreesWaitingAndRunningSequences) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kNormal, 100, 128});
    scheduler.submit(1, {Priority::kNormal, 100, 128});
    step(scheduler);
    EXPECT_EQ(scheduler.pages_free(), 0u);
    scheduler.end(1);
    scheduler.end(0);
    EXPECT_EQ(scheduler.pages_free(), 32u);
    EXPECT_EQ(scheduler.waiting() + scheduler.running(), 0u);
    EXPECT_TRUE(scheduler.next_step().entries.empty());
}

TEST(Scheduler, DraftsTakeRowsThatAreLeftAndCountWhenTheyWereDrawn) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kNormal, 2, 20});
    step(scheduler);
    scheduler.submit(1, {Priority::kNormal, 10, 20});
    Plan plan = scheduler.next_step();
    EXPECT_EQ(plan.rows_left, 5u);  // 16 less one decode row and the prompt
    scheduler.add_drafts(plan, 0, 4);
    EXPECT_EQ(plan.rows_left, 1u);
    EXPECT_EQ(plan.rows, 15u);
    EXPECT_EQ(plan.prompt_rows, 10u);
    EXPECT_EQ(rows_of(plan), (std::vector<Row>{{0, 2, 5, true}, {1, 0, 10, true}}));
    scheduler.step_done();
    scheduler.tokens_drawn(0, 3);  // two drafts were right
    scheduler.tokens_drawn(1, 1);
    EXPECT_EQ(step(scheduler), (std::vector<Row>{{0, 5, 1, true}, {1, 10, 1, true}}));
}

TEST(Scheduler, DraftsStayWithinTheStepAndTheReservedPositions) {
    Scheduler scheduler(kLimits);
    scheduler.submit(0, {Priority::kNormal, 2, 8});
    step(scheduler);
    Plan plan = scheduler.next_step();  // computes position 2 and draws that of 3
    scheduler.add_drafts(plan, 0, 4);   // the last one draws that of 7, the limit's
    scheduler.step_done();
    scheduler.tokens_drawn(0, 1);
    plan = scheduler.next_step();
    EXPECT_DEATH(scheduler.add_drafts(plan, 0, 4), "limit");
    scheduler.add_drafts(plan, 0, 3);
    EXPECT_DEATH(scheduler.add_drafts(plan, 0, 1), "drafts == 0");
    scheduler.step_done();
    EXPECT_DEATH(scheduler.tokens_drawn(0, 5), "drafts");
    EXPECT_DEATH(scheduler.tokens_drawn(0, 0), "count");
}

TEST(Scheduler, MoreDecodesThanRowsTakeTurns) {
    Scheduler scheduler(
        {.slots_max = 6, .step_tokens_max = 4, .page_tokens = 4, .pages_total = 120});
    std::vector<uint32_t> served(6);
    const auto count_steps = [&](int steps) {
        for (int i = 0; i < steps; ++i) {
            for (const auto& [slot, first, count, draws] : step(scheduler))
                served[slot] += count;
        }
    };
    for (uint32_t slot = 0; slot < 6; ++slot)
        scheduler.submit(slot, {Priority::kNormal, 1, 80});
    count_steps(3);  // all have had their first row: one in four was kept for them
    for (const uint32_t count : served)
        EXPECT_GE(count, 1u);
    served.assign(6, 0);
    count_steps(30);
    for (const uint32_t count : served)
        EXPECT_EQ(count, 20u);
}

}  // namespace
}  // namespace bitnetd::worker
