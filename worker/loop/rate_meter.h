// What a worker says of its speed on the board, from the steps it takes.
//   decode_ns         of a step with one decode row. Larger batches take at least as long, so they
//                     lower the value (or give the first one) but never raise it.
//   prefill_token_ns  of a step that is mostly prompt, per row.
// Each is a running mean in which a new value weighs an eighth: steady against one slow step, and
// following a machine that changes within some ten steps. 0 = not measured yet.
#pragma once

#include <cstdint>

namespace bitnetd::worker {

class RateMeter {
  public:
    void step_took(uint32_t rows, uint32_t prompt_rows, uint64_t took_ns) noexcept {
        if (prompt_rows == 0) {
            if (rows == 1 || decode_ns_ == 0 || took_ns < decode_ns_) mix(decode_ns_, took_ns);
        } else if (prompt_rows >= kPromptRowsMin && prompt_rows * 2 >= rows) {
            mix(prefill_token_ns_, took_ns / rows);
        }
    }
    uint64_t decode_ns() const noexcept { return decode_ns_; }
    uint64_t prefill_token_ns() const noexcept { return prefill_token_ns_; }

  private:
    // A shorter chunk costs about as much as one row: not what a long prompt pays per token.
    static constexpr uint32_t kPromptRowsMin = 8;

    static void mix(uint64_t& mean, uint64_t value) noexcept {
        mean = mean == 0 ? value : (mean * 7 + value) / 8;
    }

    uint64_t decode_ns_ = 0;
    uint64_t prefill_token_ns_ = 0;
};

}  // namespace bitnetd::worker
