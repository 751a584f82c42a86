// The scheduler decides which rows the next step computes and which sequences have KV pages. A pure
// state machine: no clock, no I/O, no allocation after construction, so that tests replay any
// history by its seed.
//
// A sequence is submitted (waiting), starts to run with what the cache holds of its ids, has the
// rest computed in chunks, and from then on one token is drawn and one row computed at a time until
// end(). It takes pages as it grows. When there are none, the lowest-ranked running sequence gives
// up its pages and waits again; its ids are computed again later, which gives the same bits.
//
// Order of rows: decode rows of all running sequences first, then prompt chunks. A quarter of the
// step is kept for prompts, if there are any, or a step full of decodes would keep new sequences
// from their first token. Half of the prompt rows go by rank, half to the prompts that are soonest
// done, so that a short one need not wait for a long one and a long one never stands still. Of
// sequences that begin alike, one computes what they share and the others wait for it. Rows that
// are left may verify drafts: guesses of what a decoding sequence's next ids will be.
//
// Rank is submission order with a head start per priority class: a sequence is overtaken only by
// those submitted within kHeadStart submissions behind it, so none starves. Loop thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/kv/kv_pages.h"

namespace bitnetd::worker {

// As in SubmitRecord::priority.
enum class Priority : uint32_t { kHigh = 0, kNormal = 1, kLow = 2 };

// Each class is ranked as if it had been submitted this many submissions after the class above.
inline constexpr uint64_t kHeadStart = 256;

struct SchedulerLimits {
    uint32_t slots_max;        // sequences, waiting ones included
    uint32_t step_tokens_max;  // rows of one step
};

struct Submission {
    Priority priority;
    uint32_t id_count;        // ids known now: prompt, and what an earlier attempt produced; >= 1
    uint32_t position_limit;  // it never grows beyond this; >= id_count; equal: no token is drawn
    const uint32_t* ids;      // [position_limit], id_count of them there; outlives the sequence
    bool needs_all_rows = false;      // every row is computed, even if the cache holds it
    uint32_t chunk_max = UINT32_MAX;  // prompt rows in one step
};

// What a step computes of one sequence: the rows of positions first .. first + count - 1.
struct PlanEntry {
    uint32_t slot;
    uint32_t first;
    uint32_t count;
    bool is_prompt;  // not yet prefilled; else one decode row, and drafts
    bool draws;      // it computes the newest id: a token is drawn from it, and from each draft
    uint32_t drafts = 0;  // of count: the last rows, of guessed ids behind the newest one
};

// Valid until the next call of next_step().
struct Plan {
    std::span<const PlanEntry> entries;
    std::span<const uint32_t> admitted;  // slots that started to run, or run again
    uint32_t rows = 0;
    uint32_t prompt_rows = 0;  // of rows
    uint32_t rows_left = 0;    // of the step: drafts may use them
    uint32_t preempted = 0;    // sequences that gave up their pages
};

class Scheduler {
  public:
    // `pages` has as many slots, and outlives the scheduler, which alone changes it.
    Scheduler(const SchedulerLimits& limits, KvPages& pages);

    // False when the sequence needs more pages than there are at all.
    bool can_ever_run(uint32_t position_limit) const;

    // `slot` is below slots_max and not in use. Needs can_ever_run().
    void submit(uint32_t slot, const Submission& submission);
    // A held sequence is not planned (its last token is unpublished); others go on.
    void hold(uint32_t slot, bool held);
    // Forgets the sequence in any state; its pages may be used at once. Not between next_step() and
    // step_done().
    void end(uint32_t slot);

    // Admits what fits and plans one step; no entries when nothing can be computed. While anyone
    // decodes, prompts get prompt_rows_max rows at most (>= 1). What KvPages::copies() says is
    // copied before the step is computed.
    Plan next_step(uint32_t prompt_rows_max = UINT32_MAX);
    // Between next_step() and step_done(), once for a decode entry of that plan: it verifies up to
    // `count` guessed ids too, as many as there are pages for. At most rows_left, and a token drawn
    // after the last of them must still be below the sequence's position limit. Updates the plan.
    void add_drafts(Plan& plan, size_t entry, uint32_t count);
    // Every row of the last plan has been computed. A sequence that draws no token and is computed
    // to its end gets end() next.
    void step_done();
    // After step_done(), for a sequence whose entry had `draws`: `count` tokens make so many more
    // ids, which are in its memory. All but the last of them were drafted as drawn, so they are
    // computed already. Each such sequence gets either this or end().
    void tokens_drawn(uint32_t slot, uint32_t count);

    // How many of its ids the cache held when it first ran.
    uint32_t reused(uint32_t slot) const { return sequences_.at(slot).reused; }
    uint32_t running() const { return static_cast<uint32_t>(running_.size()); }
    uint32_t waiting() const { return static_cast<uint32_t>(waiting_.size()); }

  private:
    enum class State : uint8_t { kUnused, kWaiting, kRunning };
    static constexpr uint32_t kNoEntry = UINT32_MAX;
    struct Sequence {
        State state = State::kUnused;
        bool held = false;
        bool prefilled = false;
        bool needs_all_rows = false;
        bool was_preempted = false;
        uint32_t id_count = 0;
        uint32_t computed = 0;  // ids whose keys and values are in the cache
        uint32_t reused = 0;
        uint32_t drafts = 0;  // verified by the last step
        uint32_t position_limit = 0;
        uint32_t chunk_max = 0;
        uint32_t entry = kNoEntry;  // of the step being planned
        const uint32_t* ids = nullptr;
        uint64_t rank = 0;    // lower goes first
        uint64_t number = 0;  // of its submission; breaks ties of rank
        uint64_t turn = 0;    // counts up over all decode rows: the lowest has waited longest

        std::span<const uint32_t> known() const { return {ids, id_count}; }
        // The newest id is always computed: a token is drawn from it.
        std::span<const uint32_t> reusable() const {
            return {ids, needs_all_rows ? 0 : id_count - 1};
        }
        uint32_t uncomputed() const { return id_count - computed; }
    };

    uint32_t pages_to_prefill(uint32_t slot) const;
    uint32_t pages_promised() const;
    void insert_ranked(std::vector<uint32_t>& slots, uint32_t slot);
    void preempt(uint32_t slot);
    uint32_t victim() const;
    void make_room();
    void admit_waiting();
    bool try_admit(uint32_t slot);
    void take_from_cache(uint32_t slot, uint32_t computed);
    bool is_idle_beside_held() const;
    uint32_t rows_kept_for_prompts() const;
    void plan_decodes();
    void plan_prompts(uint32_t rows_max);
    bool begin_prompt(uint32_t slot);
    uint32_t give_prompt_rows(uint32_t slot, uint32_t most);

    SchedulerLimits limits_;
    KvPages& pages_;
    std::vector<Sequence> sequences_;  // by slot
    std::vector<uint32_t> waiting_;    // slots, by rank
    std::vector<uint32_t> running_;    // slots, by rank
    std::vector<uint32_t> scratch_;    // slots: decodes, then prompts
    std::vector<PlanEntry> entries_;
    std::vector<uint32_t> admitted_;
    uint32_t rows_left_ = 0;  // of the step being planned
    uint32_t preempted_ = 0;  // in it
    uint64_t submissions_ = 0;
    uint64_t turns_ = 0;
};

}  // namespace bitnetd::worker
