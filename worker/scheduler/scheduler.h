// The scheduler decides which rows the next step computes. A pure state machine: no clock, no I/O,
// no allocation after construction, so that tests replay any history by its seed.
//
// A sequence is submitted (waiting), gets its KV pages for its whole length (running), has its ids
// computed in chunks, and from then on one token is drawn and one row computed at a time until
// end(). Order: decode rows of all running sequences first, then prompt chunks by rank, up to
// step_tokens_max rows; a quarter of them is kept for prompts, if there are any, or a step full of
// decodes would keep new sequences from their first token. Rows that are left may verify drafts:
// guesses of what a decoding sequence's next ids will be. Rank is submission order with a head
// start per priority class: a sequence is overtaken only by those submitted within kHeadStart
// submissions behind it, so none starves. Pages are only counted here; worker/kv/ hands them out.
// Loop thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bitnetd::worker {

// As in SubmitRecord::priority.
enum class Priority : uint32_t { kHigh = 0, kNormal = 1, kLow = 2 };

// Each class is ranked as if it had been submitted this many submissions after the class above.
inline constexpr uint64_t kHeadStart = 256;

struct SchedulerLimits {
    uint32_t slots_max;        // sequences, waiting ones included
    uint32_t step_tokens_max;  // rows of one step
    uint32_t page_tokens;      // positions per KV page
    uint32_t pages_total;
};

struct Submission {
    Priority priority;
    uint32_t id_count;        // ids known now: prompt, and what an earlier attempt produced; >= 1
    uint32_t position_limit;  // the sequence never grows beyond this; > id_count
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
    std::span<const uint32_t> admitted;  // slots that started to run: reserve their pages first
    uint32_t rows = 0;
    uint32_t prompt_rows = 0;  // of rows
    uint32_t rows_left = 0;    // of the step: drafts may use them
};

class Scheduler {
  public:
    explicit Scheduler(const SchedulerLimits& limits);

    // False when the sequence needs more pages than there are at all.
    bool can_ever_run(uint32_t position_limit) const;

    // `slot` is below slots_max and not in use. Needs can_ever_run().
    void submit(uint32_t slot, const Submission& submission);
    // A held sequence is not planned (its last token is unpublished); others go on.
    void hold(uint32_t slot, bool held);
    // Forgets the sequence in any state; its pages count as free at once. Not between next_step()
    // and step_done().
    void end(uint32_t slot);

    // Admits what fits and plans one step; no entries when nothing can be computed.
    Plan next_step();
    // Between next_step() and step_done(), once for a decode entry of that plan: it verifies
    // `count` guessed ids too. At most rows_left, and a token drawn after the last of them must
    // still be below the sequence's position limit. Updates the plan.
    void add_drafts(Plan& plan, size_t entry, uint32_t count);
    // Every row of the last plan has been computed.
    void step_done();
    // After step_done(), for a sequence whose entry had `draws`: `count` tokens make so many more
    // ids. All but the last of them were drafted as drawn, so they are computed already. Each such
    // sequence gets either this or end().
    void tokens_drawn(uint32_t slot, uint32_t count);

    uint32_t running() const { return static_cast<uint32_t>(running_.size()); }
    uint32_t waiting() const { return static_cast<uint32_t>(waiting_.size()); }
    uint32_t pages_free() const { return pages_free_; }

  private:
    enum class State : uint8_t { kUnused, kWaiting, kRunning };
    struct Sequence {
        State state = State::kUnused;
        bool held = false;
        bool prefilled = false;
        uint32_t id_count = 0;
        uint32_t computed = 0;  // ids whose keys and values are in the cache
        uint32_t drafts = 0;    // verified by the last step
        uint32_t position_limit = 0;
        uint32_t pages = 0;
        uint64_t rank = 0;    // lower goes first
        uint64_t number = 0;  // of its submission; breaks ties of rank
        uint64_t turn = 0;    // counts up over all decode rows: the lowest has waited longest
    };

    uint32_t pages_for(uint32_t tokens) const;
    void insert_ranked(std::vector<uint32_t>& slots, uint32_t slot);
    void admit_waiting();
    uint32_t rows_kept_for_prompts() const;
    void plan_decodes();
    void plan_prompts();

    SchedulerLimits limits_;
    std::vector<Sequence> sequences_;  // by slot
    std::vector<uint32_t> waiting_;    // slots, by rank
    std::vector<uint32_t> running_;    // slots, by rank
    std::vector<uint32_t> decoding_;   // scratch of plan_decodes()
    std::vector<PlanEntry> entries_;
    std::vector<uint32_t> admitted_;
    uint32_t pages_free_;
    uint32_t rows_left_ = 0;  // of the step being planned
    uint64_t submissions_ = 0;
    uint64_t turns_ = 0;
};

}  // namespace bitnetd::worker
