// Random numbers that are the same with every library: splitmix64. One seed and any number of
// streams, so that what the n-th request asks for does not depend on when it is its turn.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace bitnetd::bench {

class Rng {
  public:
    explicit Rng(uint64_t seed, uint64_t stream = 0) : state_(mix(seed ^ mix(stream + 1))) {}

    uint64_t next() noexcept { return mix(state_ += kStep); }
    // 0 .. bound - 1; 1 <= bound <= 2^32.
    uint64_t below(uint64_t bound) noexcept { return ((next() >> 32) * bound) >> 32; }
    // In (0, 1]: its logarithm is finite.
    double unit() noexcept { return (static_cast<double>(next() >> 11) + 1) * 0x1p-53; }
    // Mean 1.
    double exponential() noexcept { return -std::log(unit()); }
    // Mean 0, deviation 1.
    double normal() noexcept {
        const double radius = std::sqrt(2 * exponential());
        return radius * std::cos(2 * std::numbers::pi * unit());
    }

  private:
    static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;
    static uint64_t mix(uint64_t x) noexcept {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    uint64_t state_;
};

}  // namespace bitnetd::bench
