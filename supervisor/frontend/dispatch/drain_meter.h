// How fast a queue moves: the intervals between departures of those who had to wait. The source of
// expected waits and of Retry-After.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

namespace bitnetd::frontend {

class DrainMeter {
  public:
    // Someone who had waited went.
    void departed(uint64_t now_ns) noexcept {
        if (last_ns_ != 0) intervals_[count_++ % kKept] = now_ns - last_ns_;
        last_ns_ = now_ns;
    }
    // Someone went without waiting: there is no queue, and the time until the next departure says
    // nothing of its pace.
    void was_empty() noexcept { last_ns_ = 0; }

    // Per departure, at the pace of the last ones; silence since the last one slows it. Departures
    // come in bunches, so `assumed_ns` counts as much as a few of them; 0: nothing is assumed, and
    // the answer is 0 before the second departure from one queue.
    uint64_t pace_ns(uint64_t assumed_ns, uint64_t now_ns) const noexcept {
        const size_t kept = count_ < kKept ? count_ : kKept;
        const size_t assumed = assumed_ns == 0 ? 0 : kAssumed;
        if (kept + assumed == 0) return 0;
        const uint64_t sum =
            std::accumulate(intervals_.begin(), intervals_.begin() + kept, assumed * assumed_ns);
        const uint64_t mean = sum / (kept + assumed);
        const uint64_t silence = last_ns_ != 0 && now_ns > last_ns_ ? now_ns - last_ns_ : 0;
        return silence > mean ? (sum + silence) / (kept + assumed + 1) : mean;
    }

  private:
    static constexpr size_t kKept = 64;
    static constexpr size_t kAssumed = 8;
    std::array<uint64_t, kKept> intervals_{};
    size_t count_ = 0;
    uint64_t last_ns_ = 0;  // of the queue that is there now; 0: none
};

}  // namespace bitnetd::frontend
