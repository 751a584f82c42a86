// Goal: over random histories nothing starves, leaks or exceeds a budget; every sequence is
// computed completely and in order, whatever was preempted, found in the cache or drafted wrongly;
// and what its pages hold is always its own prefix. Method: a model of clients submits, cancels,
// holds and drafts at random, with prompts that often begin alike and too few pages for all; a
// shadow of the pages' memory holds a hash of the prefix at each position, and every planned row
// checks all positions before it. Each failure names the seed, which replays the history.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <random>
#include <vector>

#include "worker/scheduler/scheduler.h"

namespace bitnetd::worker {
namespace {

struct Shadow {
    std::vector<uint32_t> ids;     // [limit]
    std::vector<uint64_t> hashes;  // [limit] of ids[0] .. ids[i]
    uint32_t id_count = 0;
    uint32_t limit = 0;
    bool held = false;
    bool needs_all_rows = false;
    uint32_t stood_still = 0;  // steps in which it could have been computed and was not
};

class History {
  public:
    explicit History(uint64_t seed)
        : random_(seed),
          limits_{.slots_max = pick(1, 40), .step_tokens_max = pick(1, 64)},
          page_tokens_(pick(1, 33)),
          pages_(pick(4, 120), page_tokens_, limits_.slots_max, kLimitMax),
          scheduler_(limits_, pages_),
          shadows_(limits_.slots_max),
          memory_(pages_.pages_total(), std::vector<uint64_t>(page_tokens_)) {}

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
        EXPECT_EQ(pages_.available(), pages_.pages_total());
        EXPECT_EQ(scheduler_.running() + scheduler_.waiting(), 0u);
        EXPECT_GT(ended_, 0u);
    }

    uint64_t drafted() const { return drafted_; }
    uint64_t preempted() const { return preempted_; }
    uint64_t reused() const { return reused_; }
    uint64_t copied() const { return copied_; }

  private:
    static constexpr uint32_t kLimitMax = 400;

    uint32_t pick(uint32_t low, uint32_t high) {
        return std::uniform_int_distribution<uint32_t>(low, high)(random_);
    }

    void set_id(Shadow& shadow, uint32_t position, uint32_t id) {
        shadow.ids[position] = id;
        const uint64_t before = position == 0 ? 1 : shadow.hashes[position - 1];
        shadow.hashes[position] = (before ^ id) * 0x9e3779b97f4a7c15;
    }

    void submit_some() {
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (shadows_[slot] || pick(0, 9) != 0) continue;
            const uint32_t most = page_tokens_ * pages_.pages_total();
            EXPECT_FALSE(scheduler_.can_ever_run(most + 1));
            Shadow& shadow = shadows_[slot].emplace();
            shadow.limit = pick(1, std::min({most, kLimitMax, pick(2, kLimitMax)}));
            EXPECT_TRUE(scheduler_.can_ever_run(shadow.limit));
            shadow.needs_all_rows = pick(0, 9) == 0;
            shadow.id_count = pick(1, shadow.limit);
            if (shadow.id_count == shadow.limit && !shadow.needs_all_rows) shadow.limit += 1;
            if (!scheduler_.can_ever_run(shadow.limit) || shadow.limit > kLimitMax) {
                shadows_[slot].reset();
                continue;
            }
            shadow.ids.resize(shadow.limit);
            shadow.hashes.resize(shadow.limit);
            // One of three texts, up to some point, then ids that seldom repeat.
            const uint32_t text = pick(0, 2);
            const uint32_t alike = pick(0, shadow.id_count);
            for (uint32_t i = 0; i < shadow.id_count; ++i)
                set_id(shadow, i, i < alike ? text * 1000 + i : pick(0, 3));
            scheduler_.submit(slot, {.priority = static_cast<Priority>(pick(0, 2)),
                                     .id_count = shadow.id_count,
                                     .position_limit = shadow.limit,
                                     .ids = shadow.ids.data(),
                                     .needs_all_rows = shadow.needs_all_rows,
                                     .chunk_max = shadow.needs_all_rows ? 7 : UINT32_MAX});
        }
    }

    void cancel_or_hold_some() {
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (!shadows_[slot]) continue;
            if (pick(0, 99) == 0) {
                end(slot);
            } else if (pick(0, 19) == 0) {
                set_held(slot, !shadows_[slot]->held);
            }
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

    uint64_t& memory_at(uint32_t slot, uint32_t position) {
        return memory_[pages_.of(slot)[position / page_tokens_]][position % page_tokens_];
    }

    void check_entry(const PlanEntry& entry, std::vector<bool>& planned) {
        ASSERT_LT(entry.slot, shadows_.size());
        ASSERT_TRUE(shadows_[entry.slot]) << "an ended sequence is planned";
        Shadow& shadow = *shadows_[entry.slot];
        ASSERT_FALSE(planned[entry.slot]) << "planned twice";
        planned[entry.slot] = true;
        ASSERT_FALSE(shadow.held);
        ASSERT_GE(entry.count, 1u);
        const uint32_t known = entry.count - entry.drafts;
        ASSERT_GE(known, 1u);
        ASSERT_LE(entry.first + known, shadow.id_count);
        ASSERT_LE(entry.first + entry.count, pages_.capacity(entry.slot));
        const bool is_last = entry.first + known == shadow.id_count;
        ASSERT_EQ(entry.draws, is_last && shadow.limit > shadow.id_count);
        ASSERT_TRUE(entry.draws || entry.drafts == 0);
        ASSERT_TRUE(!shadow.needs_all_rows || !entry.is_prompt || entry.count <= 7);
        for (uint32_t i = 0; i < entry.first; ++i)
            ASSERT_EQ(memory_at(entry.slot, i), shadow.hashes[i]) << "not its own prefix at " << i;
        shadow.stood_still = 0;
    }

    void compute(const PlanEntry& entry) {
        const Shadow& shadow = *shadows_[entry.slot];
        for (uint32_t i = 0; i < entry.count; ++i) {
            const bool is_draft = i >= entry.count - entry.drafts;
            memory_at(entry.slot, entry.first + i) =
                is_draft ? random_() : shadow.hashes[entry.first + i];
        }
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

    void copy_pages() {
        for (const PageCopy& copy : pages_.copies()) {
            memory_[copy.to] = memory_[copy.from];
            ++copied_;
        }
        pages_.copies_done();
    }

    // What lies in pages is checked before any of this step's rows is computed.
    void step() {
        Plan plan = scheduler_.next_step(pick(1, 64));
        preempted_ += plan.preempted;
        draft_some(plan);
        copy_pages();
        std::vector<bool> planned(shadows_.size());
        uint32_t rows = 0;
        for (const PlanEntry& entry : plan.entries) {
            check_entry(entry, planned);
            if (::testing::Test::HasFatalFailure()) return;
            rows += entry.count;
        }
        ASSERT_EQ(rows, plan.rows);
        ASSERT_LE(rows + plan.rows_left, limits_.step_tokens_max);
        bool could_go_on = false;
        for (uint32_t slot = 0; slot < shadows_.size(); ++slot) {
            if (!shadows_[slot] || shadows_[slot]->held) continue;
            could_go_on = true;
            if (planned[slot]) continue;
            ASSERT_LT(++shadows_[slot]->stood_still, 20'000u);
        }
        ASSERT_EQ(could_go_on, rows > 0) << "an idle step while something could be computed";
        const std::vector<PlanEntry> entries(plan.entries.begin(), plan.entries.end());
        for (const PlanEntry& entry : entries)
            compute(entry);
        scheduler_.step_done();
        for (const PlanEntry& entry : entries)
            settle(entry);
    }

    void settle(const PlanEntry& entry) {
        Shadow& shadow = *shadows_[entry.slot];
        if (!entry.draws) {
            if (entry.first + entry.count == shadow.id_count) end(entry.slot);
            return;
        }
        if (entry.is_prompt) reused_ += scheduler_.reused(entry.slot);
        const uint32_t count = pick(1, entry.drafts + 1);
        if (shadow.id_count + count >= shadow.limit || pick(0, 199) == 0) return end(entry.slot);
        for (uint32_t i = 0; i < count; ++i) {
            set_id(shadow, shadow.id_count, pick(0, 3));
            // A draft that was drawn was computed as such.
            if (i + 1 < count) {
                memory_at(entry.slot, shadow.id_count) = shadow.hashes[shadow.id_count];
            }
            ++shadow.id_count;
        }
        scheduler_.tokens_drawn(entry.slot, count);
    }

    std::mt19937_64 random_;
    SchedulerLimits limits_;
    uint32_t page_tokens_;
    KvPages pages_;
    Scheduler scheduler_;
    std::vector<std::optional<Shadow>> shadows_;
    std::vector<std::vector<uint64_t>> memory_;  // [page][position]
    uint64_t ended_ = 0;
    uint64_t drafted_ = 0;
    uint64_t preempted_ = 0;
    uint64_t reused_ = 0;
    uint64_t copied_ = 0;
};

// BITNETD_SEEDS: how many histories; BITNETD_SEED: this one only.
TEST(SchedulerSim, RandomHistories) {
    const auto number = [](const char* name) -> uint64_t {
        const char* text = std::getenv(name);
        return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
    };
    const uint64_t replay = number("BITNETD_SEED");
    const uint64_t count = number("BITNETD_SEEDS");
    const uint64_t first = replay != 0 ? replay : 1;
    const uint64_t last = replay != 0 ? replay : count != 0 ? count : 200;
    std::printf("seeds %lu .. %lu\n", first, last);
    uint64_t drafted = 0;
    uint64_t preempted = 0;
    uint64_t reused = 0;
    uint64_t copied = 0;
    for (uint64_t seed = first; seed <= last; ++seed) {
        SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
        History history(seed);
        history.run();
        if (HasFailure()) return;
        drafted += history.drafted();
        preempted += history.preempted();
        reused += history.reused();
        copied += history.copied();
    }
    if (replay != 0) return;
    // The histories reach what they are for.
    EXPECT_GT(drafted, 0u);
    EXPECT_GT(preempted, 0u);
    EXPECT_GT(reused, 0u);
    EXPECT_GT(copied, 0u);
    std::printf("%lu drafts, %lu preemptions, %lu ids reused, %lu pages copied\n", drafted,
                preempted, reused, copied);
}

}  // namespace
}  // namespace bitnetd::worker
