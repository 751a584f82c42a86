// Promises: those who were refused and told when to come back. A request that comes back when it
// was told is known by its digest and goes before new ones; room is kept for as many as usually
// come. So a full server is a queue whose waiting is done by the clients, in their own time.
// A promise costs some bytes until it is kept or its time is over; past kPromisesMax none is made.
// Loop thread; time is passed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class Promises {
  public:
    static constexpr size_t kPromisesMax = 65'536;
    // Who comes this much too early is on time: clocks and timers are not exact.
    static constexpr uint64_t kEarlyNs = 20 * kNsPerMs;
    // After this the promise is broken by its client.
    static constexpr uint64_t kLateNs = 10 * kNsPerS;

    // When to come: not before `earliest_ns`, and `pace_ns` behind the promise before, or less in
    // so far as not all come.
    uint64_t make(const PromptDigest& digest, uint64_t now_ns, uint64_t earliest_ns,
                  uint64_t pace_ns);
    // It has come back in time: the promise is used up.
    bool keep(const PromptDigest& digest, uint64_t now_ns);

    // How many are expected about now: of those told to come within `window_ns` before or behind,
    // the share that usually comes. Counted anew every few milliseconds.
    double expected(uint64_t now_ns, uint64_t window_ns);
    // Of those told to come, the share that does, lately.
    double kept_share() const { return kept_share_; }
    size_t count() const { return by_time_.size(); }

  private:
    void settle(bool kept) { kept_share_ += ((kept ? 1.0 : 0.0) - kept_share_) / 16; }
    void expire(uint64_t now_ns);

    std::multimap<PromptDigest, uint64_t> by_digest_;  // to its time
    std::multimap<uint64_t, PromptDigest> by_time_;
    uint64_t last_ns_ = 0;  // the latest time that was promised
    double kept_share_ = 1;
    uint64_t counted_ns_ = 0;  // when `expected_` was counted
    double expected_ = 0;
};

}  // namespace bitnetd::frontend
