// The draft planner decides how many guessed ids a step verifies beside what it computes anyway. It
// decides about time only: a token is drawn from a row's own logits, so the tokens of a sequence
// are the same whatever is answered here.
//
//   off    none
//   on     all that were guessed, as far as the step has rows left, evenly over the sequences
//   auto   in steps without prompt rows, as many as are expected to give more tokens per second: by
//          the cost curve (step_costs.h) and by how often this sequence's guesses were right.
//          Guesses that are not verified are still compared with what is drawn, so a sequence that
//          begins to repeat itself is noticed at no cost.
//
// Allocates at construction only. Loop thread.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/speculation/step_costs.h"

namespace bitnetd::worker {

// Guesses of one sequence in one step. Each drawn token needs memory until it is published.
inline constexpr uint32_t kDraftTokensMax = 16;

enum class SpeculationMode : uint8_t { kOff, kOn, kAuto };

struct SpeculationSettings {
    SpeculationMode mode = SpeculationMode::kOff;
    uint32_t draft_tokens_max = 8;  // 1 .. kDraftTokensMax
};

class DraftPlanner {
  public:
    DraftPlanner(const SpeculationSettings& settings, uint32_t slots_max);

    // A new sequence uses the slot.
    void forget(uint32_t slot) noexcept { hit_rates_[slot] = kFirstHitRate; }

    // A step that has these rows so far, and room for rows_left more. Returns how many ids to guess
    // for each decoding sequence: 0 when none would be verified.
    uint32_t begin_step(uint32_t decode_rows, uint32_t prompt_rows, uint32_t rows_left) noexcept;
    // How many of a sequence's `guessed` ids this step verifies. Once for each decoding sequence
    // after begin_step().
    uint32_t drafts_of(uint32_t slot, uint32_t guessed) noexcept;

    // Whether a guessed id was the one that was drawn, verified or not.
    void guess_was(uint32_t slot, bool right) noexcept;
    void step_took(uint32_t rows, uint32_t prompt_rows, uint64_t took_ns) noexcept;

  private:
    // Until a sequence's guesses have been seen: worth trying where rows are nearly free.
    static constexpr double kFirstHitRate = 0.5;
    // What a draft must win at least, or the noise of the measurements would decide.
    static constexpr double kGainMin = 1.02;

    uint32_t worthwhile_drafts(uint32_t slot, uint32_t most) noexcept;

    const SpeculationSettings settings_;
    std::vector<double> hit_rates_;  // by slot: running mean over guessed ids, 0 .. 1
    StepCosts costs_;

    // The step being planned.
    uint32_t sequences_left_ = 0;  // not asked about yet
    uint32_t rows_left_ = 0;
    uint32_t rows_ = 0;           // so far
    double tokens_expected_ = 0;  // from these rows
};

}  // namespace bitnetd::worker
