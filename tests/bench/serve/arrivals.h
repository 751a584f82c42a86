// When the requests of an open loop are due: a Poisson process, that is, users who do not know of
// each other. The times depend on the seed alone, never on how the server fares.
#pragma once

#include <cstdint>

#include "common/base/clock.h"
#include "tests/bench/serve/rng.h"

namespace bitnetd::bench {

class PoissonArrivals {
  public:
    // rate_s: requests per second on average, > 0.
    PoissonArrivals(double rate_s, uint64_t seed, uint64_t begin_ns)
        : gap_ns_(static_cast<double>(kNsPerS) / rate_s), begin_ns_(begin_ns), rng_(seed) {}

    // The next request's time; never before the last one's.
    uint64_t next_ns() noexcept {
        elapsed_ns_ += rng_.exponential() * gap_ns_;
        return begin_ns_ + static_cast<uint64_t>(elapsed_ns_);
    }

  private:
    const double gap_ns_;
    const uint64_t begin_ns_;
    double elapsed_ns_ = 0;  // exact to a nanosecond for 100 days
    Rng rng_;
};

}  // namespace bitnetd::bench
