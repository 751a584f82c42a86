// Goal: over random histories nothing starves, leaks or exceeds a budget, and every sequence is
// computed completely, in order, exactly once; wrong drafts apart.
// Method: a model of clients submits, cancels, holds and drafts at random; a shadow of each
// sequence checks every plan. Each failure names the seed, which replays the history.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <random>

#include "worker/scheduler/scheduler.h"

namespace bitnetd::worker {
namespace {

struct Shadow {
    uint32_t computed = 0;
    uint32_t id_count = 0;
    uint32_t limit = 0;
    bool held = false;
    bool admitted = false;
    uint32_t stood_still = 0;  // steps in which it could have been computed and was not
};

class History {
  public:
    explicit History(uint64_t seed)
        : random_(seed),
          limits_{.slots_max = pick(1, 40),
                  .step_tokens_max = pick(1, 64),
                  .page_tokens = pick(1, 33),
                  .pages_total = pick(4, 300)},
          scheduler_(limits_),
          shadows_(limits_.slots_max) {}

    void run() {
        for (uint32_t i = 0; i < 600; ++i) {
            submit_some();
            cancel_or_hold_some();
            step();
            if (::testing::Test::HasFatalFailure()) return;
        }
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (shadows_[slot]) set_held(slot, false);
        }
        uint32_t steps_left = 200'000;
        while (std::any_of(shadows_.begin(), shadows_.end(), [](const auto& s) { return s; })) {
            ASSERT_GT(steps_left--, 0u) << "a sequence never ends";
            step();
            if (::testing::Test::HasFatalFailure()) return;
        }
        EXPECT_EQ(scheduler_.pages_free(), limits_.pages_total);
        EXPECT_EQ(scheduler_.running() + scheduler_.waiting(), 0u);
        EXPECT_GT(ended_, 0u);
        EXPECT_TRUE(drafted_ > 0 || limits_.step_tokens_max < 3);
    }

  private:
    uint32_t pick(uint32_t low, uint32_t high) {
        return std::uniform_int_distribution<uint32_t>(low, high)(random_);
    }

    void submit_some() {
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (shadows_[slot] || pick(0, 9) != 0) continue;
            const uint32_t most = limits_.page_tokens * limits_.pages_total;
            const uint32_t limit = pick(2, std::min(most, pick(2, 400)));
            EXPECT_TRUE(scheduler_.can_ever_run(limit));
            EXPECT_FALSE(scheduler_.can_ever_run(most + 1));
            const uint32_t ids = pick(1, limit - 1);
            scheduler_.submit(slot, {static_cast<Priority>(pick(0, 2)), ids, limit});
            shadows_[slot] = Shadow{.id_count = ids, .limit = limit};
        }
    }

    void cancel_or_hold_some() {
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (!shadows_[slot]) continue;
            if (pick(0, 99) == 0)
                end(slot);
            else if (pick(0, 19) == 0)
                set_held(slot, !shadows_[slot]->held);
        }
    }

    void set_held(uint32_t slot, bool held) {
        scheduler_.hold(slot, held);
        shadows_[slot]->held = held;
    }

    void end(uint32_t slot) {
        scheduler_.end(slot);
        shadows_[slot].reset();
        ++ended_;
    }

    void check_entry(const PlanEntry& entry, std::vector<bool>& planned) {
        ASSERT_LT(entry.slot, shadows_.size());
        ASSERT_TRUE(shadows_[entry.slot]) << "an ended sequence is planned";
        Shadow& shadow = *shadows_[entry.slot];
        ASSERT_FALSE(planned[entry.slot]) << "planned twice";
        planned[entry.slot] = true;
        ASSERT_TRUE(shadow.admitted);
        ASSERT_FALSE(shadow.held);
        ASSERT_EQ(entry.first, shadow.computed);
        ASSERT_GE(entry.count, 1u);
        const uint32_t known = entry.count - entry.drafts;
        ASSERT_GE(known, 1u);
        ASSERT_LE(entry.first + known, shadow.id_count);
        ASSERT_LE(entry.first + entry.count, shadow.limit - 1) << "no page may be there";
        ASSERT_EQ(entry.draws, entry.first + known == shadow.id_count);
        ASSERT_TRUE(entry.draws || entry.drafts == 0);
        shadow.computed += known;
        shadow.stood_still = 0;
    }

    void check_pages() {
        uint64_t pages = 0;
        for (const auto& shadow : shadows_) {
            if (shadow && shadow->admitted) {
                pages += (shadow->limit + limits_.page_tokens - 1) / limits_.page_tokens;
            }
        }
        ASSERT_EQ(pages + scheduler_.pages_free(), limits_.pages_total);
    }

    void draft_some(Plan& plan) {
        for (size_t i = 0; i < plan.entries.size(); ++i) {
            const PlanEntry& entry = plan.entries[i];
            if (entry.is_prompt || pick(0, 2) == 0) continue;
            const uint32_t room = shadows_[entry.slot]->limit - entry.first - 2;
            scheduler_.add_drafts(plan, i, pick(0, std::min({room, plan.rows_left, 9u})));
            drafted_ += entry.drafts;
        }
    }

    void step() {
        Plan plan = scheduler_.next_step();
        draft_some(plan);
        for (const uint32_t slot : plan.admitted)
            shadows_.at(slot)->admitted = true;
        check_pages();
        std::vector<bool> planned(shadows_.size());
        uint32_t rows = 0;
        for (const PlanEntry& entry : plan.entries) {
            check_entry(entry, planned);
            if (::testing::Test::HasFatalFailure()) return;
            rows += entry.count;
        }
        ASSERT_EQ(rows, plan.rows);
        ASSERT_EQ(rows + plan.rows_left, limits_.step_tokens_max);
        bool could_go_on = false;
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (!shadows_[slot] || !shadows_[slot]->admitted || shadows_[slot]->held) continue;
            could_go_on = true;
            // Every other sequence may come first with its whole length, once.
            if (planned[slot]) continue;
            ASSERT_LT(++shadows_[slot]->stood_still, 400 * limits_.slots_max);
        }
        ASSERT_EQ(could_go_on, rows > 0) << "an idle step while something could be computed";
        const std::vector<PlanEntry> entries(plan.entries.begin(), plan.entries.end());
        scheduler_.step_done();
        for (const PlanEntry& entry : entries) {
            if (!entry.draws) continue;
            Shadow& shadow = *shadows_[entry.slot];
            const uint32_t count = pick(1, entry.drafts + 1);
            if (shadow.id_count + count == shadow.limit || pick(0, 199) == 0) {
                end(entry.slot);
            } else {
                scheduler_.tokens_drawn(entry.slot, count);
                shadow.computed += count - 1;
                shadow.id_count += count;
            }
        }
    }

    std::mt19937_64 random_;
    SchedulerLimits limits_;
    Scheduler scheduler_;
    std::vector<std::optional<Shadow>> shadows_;
    uint64_t ended_ = 0;
    uint64_t drafted_ = 0;
};

TEST(SchedulerSim, RandomHistories) {
    const char* replay = std::getenv("BITNETD_SEED");
    const uint64_t first = replay != nullptr ? std::strtoull(replay, nullptr, 10) : 1;
    const uint64_t last = replay != nullptr ? first : 150;
    std::printf("seeds %lu .. %lu\n", first, last);
    for (uint64_t seed = first; seed <= last; ++seed) {
        SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
        History(seed).run();
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace bitnetd::worker
