// The flights a worker has, each in a slot: what was submitted, the ids so far, and what is drawn
// but not yet published. All memory is allocated here, once, but for prompt_results.h. Loop thread.
//
//   arriving -> scheduled -> ended -> (free)
//
// An arriving flight waits for its remaining ids; an ended one holds no pages and stays only until
// its last record fits the token ring.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "shm/abi/records.h"
#include "worker/loop/prompt_results.h"
#include "worker/model/aligned_array.h"
#include "worker/sampler/sampler.h"
#include "worker/scheduler/scheduler.h"
#include "worker/speculation/draft_planner.h"

namespace bitnetd::worker {

struct Flight {
    enum class State : uint8_t { kFree, kArriving, kScheduled, kEnded };

    State state = State::kFree;
    bool started_due = false;  // its StartedRecord is not published yet
    bool failure_due = false;  // `failure` is not published yet
    shm::FailureCode failure{};
    uint32_t peer = 0;  // index in the peer table
    uint32_t attempt = 0;
    uint64_t name = 0;          // as its frontend numbers it
    uint32_t id_count = 0;      // ids that are here: arrived, then drawn
    uint32_t ids_expected = 0;  // of the submission
    uint32_t prompt_count = 0;
    uint32_t position_limit = 0;
    uint32_t bias_count = 0;
    uint32_t bias_expected = 0;
    Priority priority = Priority::kNormal;
    SamplingParams sampling;
    PromptResults results;
    uint64_t admitted_ns = 0;      // 0: it has not run yet
    uint64_t prefill_done_ns = 0;  // 0: nor is its prompt computed
    uint32_t cached_count = 0;     // ids that were in the cache when it first ran
    uint32_t guessed_count = 0;    // ids behind id_count that the coming step is guessed to draw
    uint32_t drawn_count = 0;      // tokens of its last step; the last is at position id_count - 1
    uint32_t published_count = 0;  // of drawn_count
    uint32_t drawn_step = 0;       // which step that was
    std::array<Drawn, kDraftTokensMax + 1> drawn;

    bool is_complete() const { return id_count == ids_expected && bias_count == bias_expected; }
    bool draws_tokens() const { return position_limit > ids_expected; }
    bool has_tokens_due() const { return published_count < drawn_count; }
    bool has_unpublished() const {
        return started_due || results.are_due() || has_tokens_due() || failure_due;
    }
};

class FlightTable {
  public:
    FlightTable(Scheduler& scheduler, uint32_t slots_max, uint32_t context_max);

    uint32_t slots_max() const { return static_cast<uint32_t>(flights_.size()); }
    uint32_t used() const { return used_; }
    Flight& operator[](uint32_t slot) { return flights_[slot]; }

    // A free slot for a new, arriving flight; nothing when all are in use.
    std::optional<uint32_t> take(uint32_t peer, uint64_t name, uint32_t attempt);
    std::optional<uint32_t> find(uint32_t peer, uint64_t name) const;
    uint32_t count_of(uint32_t peer) const;

    // The caller has checked that there is room: ids up to context_max, bias up to kLogitBiasMax.
    void append_id(uint32_t slot, uint32_t id);
    void append_bias(uint32_t slot, const shm::LogitBias& bias);
    std::span<const uint32_t> ids(uint32_t slot) const;
    // The ids and the room behind them, where guesses of the next ones stand; [context_max].
    std::span<uint32_t> id_memory(uint32_t slot);
    std::span<const shm::LogitBias> bias(uint32_t slot) const;

    // Arriving -> scheduled; the flight is complete and can ever run.
    void schedule(uint32_t slot);
    // Its pages may be used at once, in any state; what is due can still be published.
    void end(uint32_t slot);
    // Ends it and forgets it.
    void free(uint32_t slot);

  private:
    Scheduler& scheduler_;
    uint32_t context_max_;
    uint32_t used_ = 0;
    std::vector<Flight> flights_;        // by slot
    AlignedArray<uint32_t> ids_;         // [slots_max][context_max]
    AlignedArray<shm::LogitBias> bias_;  // [slots_max][kLogitBiasMax]
};

}  // namespace bitnetd::worker
