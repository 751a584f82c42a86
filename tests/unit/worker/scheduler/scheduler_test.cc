// Goal: the scheduler's rules one by one: decodes before prompts, rank, pages, preemption, what is
// shared, hold, end.
// Method: small hand-made histories with the expected plan written out.
#include "worker/scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <tuple>

namespace bitnetd::worker {
namespace {

using Row = std::tuple<uint32_t, uint32_t, uint32_t, bool>;  // slot, first, count, draws

std::vector<Row> rows_of(const Plan& plan) {
    std::vector<Row> rows;
    for (const PlanEntry& entry : plan.entries) {
        rows.emplace_back(entry.slot, entry.first, entry.count, entry.draws);
    }
    return rows;
}

struct Limits {
    uint32_t slots_max = 8;
    uint32_t step_tokens_max = 16;
    uint32_t page_tokens = 4;
    uint32_t pages_total = 32;
};

// A scheduler with its pages, and the ids of its sequences. Sequences have no id in common unless
// they are submitted with the same text.
class World {
  public:
    explicit World(const Limits& limits = {})
        : pages(limits.pages_total, limits.page_tokens, limits.slots_max, kContext),
          scheduler({.slots_max = limits.slots_max, .step_tokens_max = limits.step_tokens_max},
                    pages) {}

    void submit(uint32_t slot, Priority priority, uint32_t id_count, uint32_t position_limit,
                uint32_t text = 0, uint32_t alike = kContext) {
        std::vector<uint32_t>& ids = texts_.emplace_back(kContext);
        std::iota(ids.begin(), ids.end(), (text != 0 ? text : 100 + ++own_) * 10'000);
        for (uint32_t i = alike; i < kContext; ++i)
            ids[i] += 1'000'000 + slot;
        scheduler.submit(slot, {.priority = priority,
                                .id_count = id_count,
                                .position_limit = position_limit,
                                .ids = ids.data()});
    }

    Plan plan(uint32_t prompt_rows_max = UINT32_MAX) {
        Plan plan = scheduler.next_step(prompt_rows_max);
        copies = pages.copies().size();
        pages.copies_done();
        return plan;
    }

    std::vector<Row> step(uint32_t prompt_rows_max = UINT32_MAX) {
        const std::vector<Row> rows = rows_of(plan(prompt_rows_max));
        scheduler.step_done();
        for (const auto& [slot, first, count, draws] : rows) {
            if (draws) scheduler.tokens_drawn(slot, 1);
        }
        return rows;
    }

    KvPages pages;
    Scheduler scheduler;
    size_t copies = 0;  // of the last plan

  private:
    static constexpr uint32_t kContext = 200;
    std::deque<std::vector<uint32_t>> texts_;
    uint32_t own_ = 0;
};

TEST(Scheduler, ComputesAPromptInChunksThenOneRowAtATime) {
    World world;
    world.submit(3, Priority::kNormal, 20, 30);
    EXPECT_EQ(world.step(), (std::vector<Row>{{3, 0, 16, false}}));
    EXPECT_EQ(world.step(), (std::vector<Row>{{3, 16, 4, true}}));
    EXPECT_EQ(world.step(), (std::vector<Row>{{3, 20, 1, true}}));
    EXPECT_EQ(world.step(), (std::vector<Row>{{3, 21, 1, true}}));
}

TEST(Scheduler, DecodesGoBeforePromptsAndALongPromptTakesOnlyWhatIsLeft) {
    World world;
    world.submit(0, Priority::kNormal, 2, 8);
    world.step();
    world.submit(1, Priority::kHigh, 40, 48);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 2, 1, true}, {1, 0, 15, false}}));
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 3, 1, true}, {1, 15, 15, false}}));
}

TEST(Scheduler, TellsPromptRowsFromDecodeRows) {
    World world;
    world.submit(0, Priority::kNormal, 1, 8);
    world.step();
    world.submit(1, Priority::kNormal, 5, 8);
    const Plan plan = world.plan();
    EXPECT_EQ(plan.rows, 6u);
    EXPECT_EQ(plan.prompt_rows, 5u);
    ASSERT_EQ(plan.admitted.size(), 1u);
    EXPECT_EQ(plan.admitted[0], 1u);
}

TEST(Scheduler, HigherClassesGoFirstWithinTheHeadStart) {
    World world;
    world.submit(0, Priority::kLow, 10, 12);
    world.submit(1, Priority::kNormal, 10, 12);
    world.submit(2, Priority::kHigh, 10, 12);
    EXPECT_EQ(world.step(), (std::vector<Row>{{2, 0, 10, true}, {1, 0, 6, false}}));
}

TEST(Scheduler, ALowSequenceIsNotStarvedByAnEndlessRowOfHighOnes) {
    World world({.slots_max = 3, .step_tokens_max = 16, .page_tokens = 4, .pages_total = 2});
    // Two pages: one sequence runs at a time; a new high one is always waiting when one ends.
    world.submit(0, Priority::kHigh, 4, 8);
    world.submit(1, Priority::kLow, 4, 8);
    uint32_t running = 0;
    uint32_t submitted = 0;
    for (; running != 1 && submitted < 4 * kHeadStart; ++submitted) {
        const Plan plan = world.plan();
        if (!plan.admitted.empty()) running = plan.admitted[0];
        if (running == 1) break;
        world.scheduler.step_done();
        const uint32_t next = running == 0 ? 2 : 0;
        world.submit(next, Priority::kHigh, 4, 8);
        world.scheduler.end(running);
    }
    EXPECT_EQ(running, 1u);
    EXPECT_LE(submitted, 2 * kHeadStart + 2);
}

TEST(Scheduler, WaitsForPagesAndLetsNobodyPassTheOneThatWaits) {
    World world({.step_tokens_max = 200});        // 32 pages of 4
    world.submit(0, Priority::kNormal, 99, 120);  // 25 pages to its first token
    world.submit(1, Priority::kNormal, 60, 80);   // 16 pages: must wait
    world.submit(2, Priority::kNormal, 4, 8);     // would fit, but is behind
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 0, 99, true}}));
    EXPECT_EQ(world.scheduler.waiting(), 2u);
    EXPECT_EQ(world.pages.available(), 7u);
    world.scheduler.end(0);
    EXPECT_EQ(world.step(), (std::vector<Row>{{1, 0, 60, true}, {2, 0, 4, true}}));
    EXPECT_EQ(world.pages.available(), 32u - 15u - 1u);
}

TEST(Scheduler, TheLowestInRankGivesUpItsPagesAndIsComputedAgain) {
    World world({.pages_total = 6});
    world.submit(0, Priority::kNormal, 7, 24);
    world.submit(1, Priority::kNormal, 7, 20);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 0, 7, true}, {1, 0, 7, true}}));
    uint32_t preempted = 0;
    uint32_t steps = 0;
    for (; preempted == 0 && steps < 20; ++steps) {
        const Plan plan = world.plan();
        preempted = plan.preempted;
        const std::vector<Row> rows = rows_of(plan);
        world.scheduler.step_done();
        for (const auto& [slot, first, count, draws] : rows)
            world.scheduler.tokens_drawn(slot, 1);
    }
    EXPECT_EQ(preempted, 1u);
    EXPECT_EQ(world.scheduler.running(), 1u);
    EXPECT_EQ(world.scheduler.waiting(), 1u);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 7 + steps, 1, true}}));
    world.scheduler.end(0);
    // It goes on where it was; what nobody needed meanwhile is still there.
    const std::vector<Row> again = world.step();
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(std::get<0>(again[0]), 1u);
    EXPECT_TRUE(std::get<3>(again[0]));
}

TEST(Scheduler, FindsWhatAnotherSequenceLeftBehind) {
    World world({.step_tokens_max = 64});
    world.submit(0, Priority::kNormal, 22, 30, /*text=*/1);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 0, 22, true}}));
    world.scheduler.end(0);
    EXPECT_EQ(world.pages.cached(), 6u);
    world.submit(1, Priority::kNormal, 22, 30, 1, /*alike=*/18);
    EXPECT_EQ(world.step(), (std::vector<Row>{{1, 18, 4, true}}));
    EXPECT_EQ(world.scheduler.reused(1), 18u);
    EXPECT_EQ(world.copies, 1u);  // of the page that holds 16 and 17
    // The newest id is always computed: a token is drawn from it.
    world.submit(2, Priority::kNormal, 20, 30, 1);
    EXPECT_EQ(world.step(), (std::vector<Row>{{1, 22, 1, true}, {2, 19, 1, true}}));
}

TEST(Scheduler, WhatSequencesShareIsComputedOnce) {
    World world;
    for (uint32_t slot = 0; slot < 4; ++slot)
        world.submit(slot, Priority::kNormal, 14, 30, /*text=*/1, /*alike=*/13);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 0, 14, true}}));
    EXPECT_EQ(
        world.step(),
        (std::vector<Row>{{0, 14, 1, true}, {1, 13, 1, true}, {2, 13, 1, true}, {3, 13, 1, true}}));
    EXPECT_EQ(world.copies, 3u);  // of the page with position 12
    EXPECT_EQ(world.scheduler.reused(3), 13u);
}

TEST(Scheduler, AShortPromptNeedNotWaitForALongOne) {
    World world;
    world.submit(0, Priority::kNormal, 100, 120);
    world.submit(1, Priority::kNormal, 6, 20);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 0, 10, false}, {1, 0, 6, true}}));
}

TEST(Scheduler, PromptsTakeNoMoreRowsThanAllowedBesideDecodes) {
    World world;
    world.submit(0, Priority::kNormal, 2, 30);
    EXPECT_EQ(world.step(1), (std::vector<Row>{{0, 0, 2, true}}));
    world.submit(1, Priority::kNormal, 40, 60);
    EXPECT_EQ(world.step(5), (std::vector<Row>{{0, 2, 1, true}, {1, 0, 5, false}}));
    world.scheduler.hold(0, true);
    EXPECT_EQ(world.step(5), (std::vector<Row>{{1, 5, 16, false}}));
}

TEST(Scheduler, ASequenceWithoutTokensEndsWithItsPrompt) {
    World world;
    world.submit(0, Priority::kNormal, 5, 5);
    EXPECT_EQ(rows_of(world.plan()), (std::vector<Row>{{0, 0, 5, false}}));
    world.scheduler.step_done();
    world.scheduler.end(0);
    EXPECT_TRUE(world.plan().entries.empty());
}

TEST(Scheduler, KnowsWhatCanNeverRun) {
    const World world;
    EXPECT_TRUE(world.scheduler.can_ever_run(128));
    EXPECT_FALSE(world.scheduler.can_ever_run(129));
}

TEST(Scheduler, AHeldSequenceStandsStillAndOthersGoOn) {
    World world;
    world.submit(0, Priority::kNormal, 2, 20);
    world.submit(1, Priority::kNormal, 2, 20);
    world.step();
    world.scheduler.hold(0, true);
    EXPECT_EQ(world.step(), (std::vector<Row>{{1, 2, 1, true}}));
    world.scheduler.hold(0, false);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 2, 1, true}, {1, 3, 1, true}}));
}

TEST(Scheduler, EndFreesWaitingAndRunningSequences) {
    World world({.step_tokens_max = 128});
    world.submit(0, Priority::kNormal, 100, 128);
    world.submit(1, Priority::kNormal, 100, 128);
    world.step();
    EXPECT_EQ(world.pages.available(), 7u);
    world.scheduler.end(1);
    world.scheduler.end(0);
    EXPECT_EQ(world.pages.available(), 32u);
    EXPECT_EQ(world.pages.cached(), 25u);
    EXPECT_EQ(world.scheduler.waiting() + world.scheduler.running(), 0u);
    EXPECT_TRUE(world.plan().entries.empty());
}

TEST(Scheduler, DraftsTakeRowsThatAreLeftAndCountWhenTheyWereDrawn) {
    World world;
    world.submit(0, Priority::kNormal, 2, 20);
    world.step();
    world.submit(1, Priority::kNormal, 10, 20);
    Plan plan = world.plan();
    EXPECT_EQ(plan.rows_left, 5u);  // 16 less one decode row and the prompt
    world.scheduler.add_drafts(plan, 0, 4);
    EXPECT_EQ(plan.rows_left, 1u);
    EXPECT_EQ(plan.rows, 15u);
    EXPECT_EQ(plan.prompt_rows, 10u);
    EXPECT_EQ(rows_of(plan), (std::vector<Row>{{0, 2, 5, true}, {1, 0, 10, true}}));
    world.scheduler.step_done();
    world.scheduler.tokens_drawn(0, 3);  // two drafts were right
    world.scheduler.tokens_drawn(1, 1);
    EXPECT_EQ(world.step(), (std::vector<Row>{{0, 5, 1, true}, {1, 10, 1, true}}));
}

TEST(Scheduler, DraftsStayWithinTheStepAndTheReservedPositions) {
    World world;
    world.submit(0, Priority::kNormal, 2, 8);
    world.step();
    Plan plan = world.plan();                // computes position 2 and draws that of 3
    world.scheduler.add_drafts(plan, 0, 4);  // the last one draws that of 7, the limit's
    world.scheduler.step_done();
    world.scheduler.tokens_drawn(0, 1);
    plan = world.plan();
    EXPECT_DEATH(world.scheduler.add_drafts(plan, 0, 4), "limit");
    world.scheduler.add_drafts(plan, 0, 3);
    EXPECT_DEATH(world.scheduler.add_drafts(plan, 0, 1), "drafts == 0");
    world.scheduler.step_done();
    EXPECT_DEATH(world.scheduler.tokens_drawn(0, 5), "drafts");
    EXPECT_DEATH(world.scheduler.tokens_drawn(0, 0), "count");
}

TEST(Scheduler, MoreDecodesThanRowsTakeTurns) {
    World world({.slots_max = 6, .step_tokens_max = 4, .page_tokens = 4, .pages_total = 120});
    std::vector<uint32_t> served(6);
    const auto count_steps = [&](int steps) {
        for (int i = 0; i < steps; ++i) {
            for (const auto& [slot, first, count, draws] : world.step())
                served[slot] += count;
        }
    };
    for (uint32_t slot = 0; slot < 6; ++slot)
        world.submit(slot, Priority::kNormal, 1, 80);
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
