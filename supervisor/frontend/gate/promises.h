// Promises: those who were refused and told when to come back. A request that comes back when it
// was told is known by its digest and goes before new ones; room is kept for as many as usually
// come. So a full server is a queue whose waiting is done by the clients, in their own time.
// A promise costs about 90 bytes until it is kept or its time is over; past kPromisesMax (hours of
// a large model, ten minutes of a toy) times are only estimates. Loop thread; time is passed in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include "common/base/clock.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

class Promises {
  public:
    static constexpr size_t kPromisesMax = 1 << 19;
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
    size_t count() const { return count_; }

  private:
    void settle(bool kept) { kept_share_ += ((kept ? 1.0 : 0.0) - kept_share_) / 16; }
    void expire(uint64_t now_ns);

    static constexpr uint64_t kNone = UINT64_MAX;
    struct Told {
        uint64_t at_ns;
        PromptDigest digest;
        uint64_t next;  // of an equal request, or kNone
        bool is_kept;
    };
    struct Line {  // the promises to equal requests, in order
        uint64_t first;
        uint64_t last;
    };
    struct Hash {
        size_t operator()(const PromptDigest& digest) const { return digest.low; }
    };
    using Lines = std::unordered_map<PromptDigest, Line, Hash>;

    void leave_line(Lines::iterator line);
    Told& told(uint64_t number) { return told_[number - first_number_]; }

    std::deque<Told> told_;      // ascending by time
    uint64_t first_number_ = 0;  // of told_.front(); they count up
    Lines lines_;                // by digest, of numbers
    size_t count_ = 0;           // not kept
    double kept_share_ = 1;
    uint64_t counted_ns_ = 0;  // when `expected_` was counted
    double expected_ = 0;
};

}  // namespace bitnetd::frontend
