#include "worker/scheduler/scheduler.h"

#include <algorithm>
#include <tuple>

#include "common/base/check.h"

namespace bitnetd::worker {

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits), sequences_(limits.slots_max), pages_free_(limits.pages_total) {
    BITNETD_CHECK(limits.slots_max > 0);
    BITNETD_CHECK(limits.step_tokens_max > 0);
    BITNETD_CHECK(limits.page_tokens > 0);
    for (auto* slots : {&waiting_, &running_, &decoding_, &admitted_}) {
        slots->reserve(limits.slots_max);
    }
    entries_.reserve(limits.slots_max);
}

uint32_t Scheduler::pages_for(uint32_t tokens) const {
    return tokens / limits_.page_tokens + (tokens % limits_.page_tokens != 0 ? 1 : 0);
}

bool Scheduler::can_ever_run(uint32_t position_limit) const {
    return pages_for(position_limit) <= limits_.pages_total;
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
    BITNETD_CHECK(submission.position_limit > submission.id_count);
    BITNETD_CHECK(can_ever_run(submission.position_limit));
    const uint64_t number = submissions_++;
    sequence = {};
    sequence.state = State::kWaiting;
    sequence.id_count = submission.id_count;
    sequence.position_limit = submission.position_limit;
    sequence.pages = pages_for(submission.position_limit);
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
    if (sequence.state == State::kWaiting) {
        std::erase(waiting_, slot);
    } else {
        std::erase(running_, slot);
        pages_free_ += sequence.pages;
    }
    sequence.state = State::kUnused;
}

// Strictly by rank: what comes behind a sequence that does not fit waits too, or a long one would
// wait for ever among short ones.
void Scheduler::admit_waiting() {
    admitted_.clear();
    while (!waiting_.empty() && sequences_[waiting_.front()].pages <= pages_free_) {
        const uint32_t slot = waiting_.front();
        waiting_.erase(waiting_.begin());
        sequences_[slot].state = State::kRunning;
        pages_free_ -= sequences_[slot].pages;
        insert_ranked(running_, slot);
        admitted_.push_back(slot);
    }
}

uint32_t Scheduler::rows_kept_for_prompts() const {
    const uint32_t share = limits_.step_tokens_max / 4;
    uint32_t wanted = 0;
    for (const uint32_t slot : running_) {
        const Sequence& sequence = sequences_[slot];
        if (sequence.prefilled || sequence.held) continue;
        wanted += std::min(sequence.id_count - sequence.computed, share - wanted);
    }
    return wanted;
}

// One row for each prefilled sequence; the longest unserved first when there are more than rows.
void Scheduler::plan_decodes() {
    const uint32_t rows_max = rows_left_ - rows_kept_for_prompts();
    decoding_.clear();
    for (const uint32_t slot : running_) {
        if (sequences_[slot].prefilled && !sequences_[slot].held) decoding_.push_back(slot);
    }
    if (decoding_.size() > rows_max) {
        std::sort(decoding_.begin(), decoding_.end(), [this](uint32_t a, uint32_t b) {
            return std::tie(sequences_[a].turn, a) < std::tie(sequences_[b].turn, b);
        });
        decoding_.resize(rows_max);
    }
    for (const uint32_t slot : decoding_) {
        Sequence& sequence = sequences_[slot];
        BITNETD_CHECK(sequence.computed + 1 == sequence.id_count);
        sequence.turn = ++turns_;
        entries_.push_back({slot, sequence.computed, 1, false, true});
    }
    rows_left_ -= static_cast<uint32_t>(decoding_.size());
}

void Scheduler::plan_prompts() {
    for (const uint32_t slot : running_) {
        if (rows_left_ == 0) return;
        const Sequence& sequence = sequences_[slot];
        if (sequence.prefilled || sequence.held) continue;
        const uint32_t left = sequence.id_count - sequence.computed;
        const uint32_t count = std::min(left, rows_left_);
        entries_.push_back({slot, sequence.computed, count, true, count == left});
        rows_left_ -= count;
    }
}

Plan Scheduler::next_step() {
    rows_left_ = limits_.step_tokens_max;
    entries_.clear();
    admit_waiting();
    plan_decodes();
    const uint32_t decode_rows = limits_.step_tokens_max - rows_left_;
    plan_prompts();
    const uint32_t rows = limits_.step_tokens_max - rows_left_;
    return {entries_, admitted_, rows, rows - decode_rows, rows_left_};
}

void Scheduler::add_drafts(Plan& plan, size_t entry, uint32_t count) {
    PlanEntry& planned = entries_.at(entry);
    BITNETD_CHECK(!planned.is_prompt);
    BITNETD_CHECK(planned.drafts == 0);
    BITNETD_CHECK(count <= rows_left_);
    // The drafts' rows are first + 1 .. first + count; the last token is drawn for the next one.
    const uint32_t limit = sequences_[planned.slot].position_limit;
    BITNETD_CHECK(count == 0 || count < limit - planned.first - 1);
    planned.drafts = count;
    planned.count += count;
    rows_left_ -= count;
    plan.rows += count;
    plan.rows_left = rows_left_;
}

void Scheduler::step_done() {
    for (const PlanEntry& entry : entries_) {
        Sequence& sequence = sequences_[entry.slot];
        sequence.computed += entry.count - entry.drafts;
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
    sequence.computed += count - 1;
    sequence.id_count += count;
}

}  // namespace bitnetd::worker
