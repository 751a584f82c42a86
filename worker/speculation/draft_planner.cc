#include "worker/speculation/draft_planner.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {

DraftPlanner::DraftPlanner(const SpeculationSettings& settings, uint32_t slots_max)
    : settings_(settings), hit_rates_(slots_max, kFirstHitRate) {
    BITNETD_CHECK(settings.draft_tokens_max >= 1);
    BITNETD_CHECK(settings.draft_tokens_max <= kDraftTokensMax);
}

uint32_t DraftPlanner::begin_step(uint32_t decode_rows, uint32_t prompt_rows,
                                  uint32_t rows_left) noexcept {
    sequences_left_ = decode_rows;
    rows_left_ = rows_left;
    rows_ = decode_rows;
    tokens_expected_ = decode_rows;
    if (settings_.mode == SpeculationMode::kOff || decode_rows == 0) return 0;
    if (settings_.mode == SpeculationMode::kAuto) {
        if (prompt_rows > 0 || decode_rows >= StepCosts::kRowsMax) return 0;
        // There is nothing to compare with yet: this step measures it.
        if (!costs_.is_measured(decode_rows)) return 0;
    }
    return settings_.draft_tokens_max;
}

uint32_t DraftPlanner::drafts_of(uint32_t slot, uint32_t guessed) noexcept {
    uint32_t most = std::min(guessed, settings_.draft_tokens_max);
    uint32_t drafts = 0;
    if (settings_.mode == SpeculationMode::kOn) {
        drafts = std::min(most, rows_left_ / sequences_left_);
    } else if (settings_.mode == SpeculationMode::kAuto) {
        most = std::min({most, rows_left_, StepCosts::kRowsMax - rows_});
        drafts = worthwhile_drafts(slot, most);
    }
    --sequences_left_;
    rows_left_ -= drafts;
    rows_ += drafts;
    return drafts;
}

// The number that gives the most tokens per second. A draft counts only if all before it were
// right, so the second one is worth the square of the first one's chance.
uint32_t DraftPlanner::worthwhile_drafts(uint32_t slot, uint32_t most) noexcept {
    double fastest = kGainMin * tokens_expected_ / costs_.of(rows_);
    uint32_t drafts = 0;
    double expected = tokens_expected_;
    double chance = 1;
    for (uint32_t count = 1; count <= most; ++count) {
        chance *= hit_rates_[slot];
        expected += chance;
        const double speed = expected / costs_.of(rows_ + count);
        if (speed <= fastest) continue;
        fastest = speed;
        drafts = count;
        tokens_expected_ = expected;
    }
    return drafts;
}

void DraftPlanner::guess_was(uint32_t slot, bool right) noexcept {
    hit_rates_[slot] += ((right ? 1.0 : 0.0) - hit_rates_[slot]) / 8;
}

void DraftPlanner::step_took(uint32_t rows, uint32_t prompt_rows, uint64_t took_ns) noexcept {
    if (prompt_rows == 0) costs_.step_took(rows, took_ns);
}

}  // namespace bitnetd::worker
