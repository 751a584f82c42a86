// What one render may spend. Templates come from model files and run on requests, so both time
// (steps) and memory (bytes of strings made, counted up and never down) are bounded. Deterministic:
// the same render spends the same, whatever the machine's load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>

#include "common/base/result.h"

namespace bitnetd::text::jinja {

inline constexpr uint64_t kItemCost = 4;  // steps per item of a list that is made

class Budget {
  public:
    Budget(uint64_t steps, uint64_t bytes) : steps_(steps), bytes_(bytes) {}

    // One unit per node evaluated, item visited or entry compared.
    Result<void> spend(uint64_t steps = 1) {
        if (steps > steps_) return exhausted("takes too many steps");
        steps_ -= steps;
        return {};
    }
    // For work or memory in proportion to a text.
    Result<void> spend_text(size_t bytes) {
        if (bytes > bytes_) return exhausted("makes too much text");
        bytes_ -= bytes;
        return {};
    }

  private:
    static Error exhausted(const char* what) { return {ErrorCode::kExhausted, what}; }

    uint64_t steps_;
    uint64_t bytes_;
};

// What filters, tests, methods and functions see of the render.
struct Context {
    Budget budget;
    std::tm now;  // for strftime_now
};

}  // namespace bitnetd::text::jinja
