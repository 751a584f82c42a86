#include "worker/scheduler/scheduler.h"

#include <algorithm>
#include <tuple>

#include "common/base/check.h"

namespace bitnetd::worker {

Scheduler::Scheduler(const SchedulerLimits& limits, KvPages& pages)
    : limits_(limits), pages_(pages), sequences_(limits.slots_max) {
    BITNETD_CHECK(limits.slots_max > 0);
    BITNETD_CHECK(limits.step_tokens_max > 0);
    for (auto* slots : {&waiting_, &running_, &scratch_, &admitted_}) {
        slots->reserve(limits.slots_max);
    }
    entries_.reserve(limits.slots_max);
}

bool Scheduler::can_ever_run(uint32_t position_limit) const {
    return pages_.pages_for(position_limit) <= pages_.pages_total();
}

void Scheduler::insert_ranked(std::vector<uint32_t>& slots, uint32_t slot) {
    const auto before = [this](uint32_t a, uint32_t b) {
        return std::tie(sequences_[a].rank, sequences_[a].number) <
               std::tie(sequences_[b].rank, sequences_[b].number);
    };
    slots.insert(std::upper_bound(slots.begin(), slots.end(), slot, before), slot);
}

void Scheduler::submit(uint32_t slot, const Submission& submission) {
    BITNETD_CHECK(slot < limits_.slots_max);
    Sequence& sequence = sequences_[slot];
    BITNETD_CHECK(sequence.state == State::kUnused);
    BITNETD_CHECK(submission.id_count >= 1);
    BITNETD_CHECK(submission.position_limit >= submission.id_count);
    BITNETD_CHECK(submission.chunk_max >= 1);
    BITNETD_CHECK(can_ever_run(submission.position_limit));
    const uint64_t number = submissions_++;
    sequence = {};
    sequence.state = State::kWaiting;
    sequence.id_count = submission.id_count;
    sequence.position_limit = submission.position_limit;
    sequence.ids = submission.ids;
    sequence.needs_all_rows = submission.needs_all_rows;
    sequence.chunk_max = submission.chunk_max;
    sequence.number = number;
    sequence.rank = number + static_cast<uint64_t>(submission.priority) * kHeadStart;
    insert_ranked(waiting_, slot);
}

void Scheduler::hold(uint32_t slot, bool held) {
    sequences_.at(slot).held = held;
}

void Scheduler::end(uint32_t slot) {
    Sequence& sequence = sequences_.at(slot);
    BITNETD_CHECK(sequence.state != State::kUnused);
    std::erase(sequence.state == State::kWaiting ? waiting_ : running_, slot);
    pages_.release(slot);
    sequence.state = State::kUnused;
}

// --- who has pages ---------------------------------------------------------------------------

void Scheduler::preempt(uint32_t slot) {
    Sequence& sequence = sequences_[slot];
    pages_.release(slot);
    sequence.state = State::kWaiting;
    sequence.prefilled = false;
    sequence.was_preempted = true;
    sequence.computed = 0;
    std::erase(running_, slot);
    insert_ranked(waiting_, slot);
    ++preempted_;
}

// Who gives up its pages: one that cannot be computed now anyway, else the lowest in rank.
uint32_t Scheduler::victim() const {
    const auto held = std::find_if(running_.rbegin(), running_.rend(),
                                   [this](uint32_t slot) { return sequences_[slot].held; });
    return held == running_.rend() ? running_.back() : *held;
}

// A page for the next row of every running sequence, by rank, at the cost of those behind it. A
// decoding one takes it now; one that is being prefilled may yet find its next page in the cache.
void Scheduler::make_room() {
    uint32_t kept = 0;
    for (size_t i = 0; i < running_.size(); ++i) {
        const uint32_t slot = running_[i];
        const Sequence& sequence = sequences_[slot];
        if (sequence.held || pages_.capacity(slot) > sequence.computed) continue;
        while (sequence.state == State::kRunning && pages_.available() <= kept) {
            const uint32_t loser = victim();
            const auto at = std::find(running_.begin(), running_.end(), loser) - running_.begin();
            preempt(loser);
            if (static_cast<size_t>(at) <= i) --i;  // wraps around at 0; ++i undoes it
        }
        if (sequence.state != State::kRunning) continue;
        if (sequence.prefilled) {
            pages_.grow(slot, sequence.computed + 1);
        } else {
            ++kept;
        }
    }
}

// Pages it still needs until its first token is drawn and has a row.
uint32_t Scheduler::pages_to_prefill(uint32_t slot) const {
    const Sequence& sequence = sequences_[slot];
    const uint32_t positions = std::min(sequence.id_count + 1, sequence.position_limit);
    return pages_.pages_for(positions) - static_cast<uint32_t>(pages_.of(slot).size());
}

uint32_t Scheduler::pages_promised() const {
    uint32_t pages = 0;
    for (const uint32_t slot : running_) {
        if (!sequences_[slot].prefilled) pages += pages_to_prefill(slot);
    }
    return pages;
}

// Everyone who runs waits for a client that does not read.
bool Scheduler::is_idle_beside_held() const {
    return std::all_of(running_.begin(), running_.end(),
                       [this](uint32_t slot) { return sequences_[slot].held; });
}

void Scheduler::take_from_cache(uint32_t slot, uint32_t computed) {
    Sequence& sequence = sequences_[slot];
    if (!sequence.was_preempted) sequence.reused += computed - sequence.computed;
    sequence.computed = computed;
}

// There must be pages for all its known ids, and one more for each sequence that runs: they grow.
bool Scheduler::try_admit(uint32_t slot) {
    const uint32_t computed = pages_.reuse_whole(slot, 0, sequences_[slot].reusable());
    const auto fits = [&] {
        const uint64_t spoken_for = running_.empty() ? 0 : pages_promised() + running_.size();
        return pages_to_prefill(slot) + spoken_for <= pages_.available();
    };
    while (!fits() && !running_.empty() && is_idle_beside_held())
        preempt(victim());
    if (!fits()) {
        pages_.release(slot);
        return false;
    }
    take_from_cache(slot, computed);
    return true;
}

// Strictly by rank: what comes behind a sequence that does not fit waits too, or a long one would
// wait for ever among short ones.
void Scheduler::admit_waiting() {
    for (size_t i = 0; i < waiting_.size();) {
        const uint32_t slot = waiting_[i];
        if (sequences_[slot].held) {
            ++i;
            continue;
        }
        if (!try_admit(slot)) return;
        sequences_[slot].state = State::kRunning;
        std::erase(waiting_, slot);
        insert_ranked(running_, slot);
        admitted_.push_back(slot);
    }
}

// --- what is computed ------------------------------------------------------------------------

uint32_t Scheduler::rows_kept_for_prompts() const {
    const uint32_t share = limits_.step_tokens_max / 4;
    uint32_t wanted = 0;
    for (const uint32_t slot : running_) {
        const Sequence& sequence = sequences_[slot];
        if (sequence.prefilled || sequence.held) continue;
        wanted += std::min(sequence.uncomputed(), share - wanted);
    }
    return wanted;
}

// One row for each prefilled sequence; the longest unserved first when there are more than rows.
void Scheduler::plan_decodes() {
    const uint32_t rows_max = rows_left_ - rows_kept_for_prompts();
    scratch_.clear();
    for (const uint32_t slot : running_) {
        if (sequences_[slot].prefilled && !sequences_[slot].held) scratch_.push_back(slot);
    }
    if (scratch_.size() > rows_max) {
        std::sort(scratch_.begin(), scratch_.end(), [this](uint32_t a, uint32_t b) {
            return std::tie(sequences_[a].turn, a) < std::tie(sequences_[b].turn, b);
        });
        scratch_.resize(rows_max);
    }
    for (const uint32_t slot : scratch_) {
        Sequence& sequence = sequences_[slot];
        BITNETD_CHECK(sequence.computed + 1 == sequence.id_count);
        sequence.turn = ++turns_;
        entries_.push_back({slot, sequence.computed, 1, false, true});
    }
    rows_left_ -= static_cast<uint32_t>(scratch_.size());
}

// False when another sequence is about to compute what comes next here: it is waited for.
bool Scheduler::begin_prompt(uint32_t slot) {
    Sequence& sequence = sequences_[slot];
    const auto ids = sequence.reusable();
    if (pages_.capacity(slot) == sequence.computed) {
        take_from_cache(slot, pages_.reuse_whole(slot, sequence.computed, ids));
        if (pages_.is_coming(slot, sequence.computed, ids)) return false;
        take_from_cache(slot, pages_.reuse_part(slot, sequence.computed, ids));
    }
    return true;
}

// Rows for the next ids of a prompt, behind those it has in this step; returns how many.
uint32_t Scheduler::give_prompt_rows(uint32_t slot, uint32_t most) {
    Sequence& sequence = sequences_[slot];
    const bool is_new = sequence.entry == kNoEntry;
    if (most == 0 || (is_new && !begin_prompt(slot))) return 0;
    const uint32_t planned = is_new ? 0 : entries_[sequence.entry].count;
    const uint32_t first = sequence.computed + planned;
    uint32_t count = std::min({most, sequence.id_count - first, sequence.chunk_max - planned});
    pages_.grow(slot, first + count);
    count = std::min(count, pages_.capacity(slot) - first);
    if (count == 0) return 0;
    pages_.announce(slot, first, sequence.known().subspan(first, count));
    if (is_new) {
        sequence.entry = static_cast<uint32_t>(entries_.size());
        entries_.push_back({slot, sequence.computed, 0, true, false});
    }
    PlanEntry& entry = entries_[sequence.entry];
    entry.count += count;
    entry.draws = first + count == sequence.id_count && sequence.position_limit > sequence.id_count;
    return count;
}

void Scheduler::plan_prompts(uint32_t rows_max) {
    scratch_.clear();
    for (const uint32_t slot : running_) {
        sequences_[slot].entry = kNoEntry;
        if (!sequences_[slot].prefilled && !sequences_[slot].held) scratch_.push_back(slot);
    }
    uint32_t rows = std::min(rows_left_, rows_max);
    rows_left_ -= rows;
    uint32_t by_rank = (rows + 1) / 2;
    rows -= by_rank;
    for (const uint32_t slot : scratch_)
        by_rank -= give_prompt_rows(slot, by_rank);
    rows += by_rank;
    std::sort(scratch_.begin(), scratch_.end(), [this](uint32_t a, uint32_t b) {
        const Sequence& first = sequences_[a];
        const Sequence& second = sequences_[b];
        return std::tuple(first.uncomputed(), first.rank, first.number) <
               std::tuple(second.uncomputed(), second.rank, second.number);
    });
    for (const uint32_t slot : scratch_)
        rows -= give_prompt_rows(slot, rows);
    rows_left_ += rows;
}

Plan Scheduler::next_step(uint32_t prompt_rows_max) {
    BITNETD_CHECK(prompt_rows_max >= 1);
    rows_left_ = limits_.step_tokens_max;
    preempted_ = 0;
    entries_.clear();
    admitted_.clear();
    make_room();
    admit_waiting();
    plan_decodes();
    const uint32_t decode_rows = limits_.step_tokens_max - rows_left_;
    plan_prompts(decode_rows > 0 ? prompt_rows_max : rows_left_);
    const uint32_t rows = limits_.step_tokens_max - rows_left_;
    return {entries_, admitted_, rows, rows - decode_rows, rows_left_, preempted_};
}

void Scheduler::add_drafts(Plan& plan, size_t entry, uint32_t count) {
    PlanEntry& planned = entries_.at(entry);
    BITNETD_CHECK(!planned.is_prompt);
    BITNETD_CHECK(planned.drafts == 0);
    BITNETD_CHECK(count <= rows_left_);
    // The drafts' rows are first + 1 .. first + count; the last token is drawn for the next one.
    const uint32_t limit = sequences_[planned.slot].position_limit;
    BITNETD_CHECK(count == 0 || count < limit - planned.first - 1);
    pages_.grow(planned.slot, planned.first + 1 + count);
    count = std::min(count, pages_.capacity(planned.slot) - planned.first - 1);
    planned.drafts = count;
    planned.count += count;
    rows_left_ -= count;
    plan.rows += count;
    plan.rows_left = rows_left_;
}

void Scheduler::step_done() {
    for (const PlanEntry& entry : entries_) {
        Sequence& sequence = sequences_[entry.slot];
        const uint32_t count = entry.count - entry.drafts;
        pages_.fill(entry.slot, entry.first, sequence.known().subspan(entry.first, count));
        sequence.computed += count;
        sequence.drafts = entry.drafts;
        if (sequence.computed == sequence.id_count) sequence.prefilled = true;
    }
}

void Scheduler::tokens_drawn(uint32_t slot, uint32_t count) {
    Sequence& sequence = sequences_.at(slot);
    BITNETD_CHECK(sequence.state == State::kRunning);
    BITNETD_CHECK(sequence.computed == sequence.id_count);
    BITNETD_CHECK(count >= 1);
    BITNETD_CHECK(count <= sequence.drafts + 1);
    sequence.id_count += count;
    pages_.fill(slot, sequence.computed, sequence.known().subspan(sequence.computed, count - 1));
    sequence.computed += count - 1;
}

}  // namespace bitnetd::worker
