// When a child that died may be started again: at once, after a pause, or after the long pause of
// an open circuit breaker. One per slot. Pure: no clock, no process; tests drive it with a fake
// time.
//
// Only deaths of the child's own doing count. Each one doubles the pause; several within a window
// open the breaker. A child that lived through a whole window in peace starts with a clean record.
#pragma once

#include <cstdint>
#include <vector>

namespace bitnetd::supervisor {

struct RestartLimits {
    uint64_t backoff_ns = 0;      // pause after the first death that counts
    uint64_t backoff_max_ns = 0;  // the doubling ends here
    uint32_t breaker_deaths = 0;  // this many counted deaths within the window open the breaker
    uint64_t breaker_window_ns = 0;
    uint64_t breaker_pause_ns = 0;  // how long it stays open; then one try
};

enum class Blame : uint8_t {
    kNobody,  // ended as told, or killed from outside: start again at once
    kOwn,     // crash, hang, bad message, own exit code
};

class RestartPolicy {
  public:
    // `seed` feeds the jitter, so that many slots that fail together do not start together.
    RestartPolicy(const RestartLimits& limits, uint64_t seed);

    // From now on; what is counted stays so.
    void use_limits(const RestartLimits& limits) { limits_ = limits; }

    struct Decision {
        uint64_t start_at_ns;
        bool breaker_open;  // the pause is the breaker's
    };

    // The child ended at now_ns after lived_ns of life.
    Decision on_death(Blame blame, uint64_t lived_ns, uint64_t now_ns);

  private:
    uint64_t jittered(uint64_t pause_ns);  // between half and all of it

    RestartLimits limits_;
    uint64_t random_state_;
    uint32_t failures_in_row_ = 0;
    bool trying_ = false;              // the breaker's pause is over: one death opens it again
    std::vector<uint64_t> deaths_ns_;  // counted deaths within the window, oldest first
};

}  // namespace bitnetd::supervisor
