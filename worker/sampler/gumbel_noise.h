// What a Gumbel-max draw is made of (gumbel.h), constexpr: so that a device's compiler can make
// code of it too, and a draw there is the draw here.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "common/base/portable_log.h"
#include "worker/sampler/philox.h"

namespace bitnetd::worker {

// The words of ids id / 4 * 4 .. + 3.
constexpr PhiloxBlock gumbel_words(uint64_t seed, uint32_t position, uint32_t id) noexcept {
    return philox({position, id / 4, 0, 0}, seed);
}

// G of a word.
constexpr double gumbel_of(uint32_t word) noexcept {
    const double u = (static_cast<double>(word) + 0.5) * 0x1p-32;
    return -portable::log_of(-portable::log_of(u));
}

// At least gumbel_of(word), without a logarithm: -ln u >= 1 - u, so G <= -ln(1 - u), and with w =
// ~word 1 - u = (w + 0.5) / 2^32 >= 2^-(1 + leading zeros of w). The last term covers all rounding.
constexpr double gumbel_bound(uint32_t word) noexcept {
    constexpr double kLn2 = 0.6931471805599453;
    return (1 + std::countl_zero(~word)) * kLn2 + 1e-9;
}

// The best of what was offered. Offers come in any order of ids.
class BestDraw {
  public:
    constexpr void offer(double scaled, uint32_t word, uint32_t id) noexcept {
        // Nearly every offer ends here: it could not win with the largest noise its word allows.
        if (scaled + gumbel_bound(word) < value_) return;
        take(scaled + gumbel_of(word), id);
    }
    // A value that is another's best, noise and all.
    constexpr void take(double value, uint32_t id) noexcept {
        if (value > value_ || (value == value_ && id < id_)) {
            value_ = value;
            id_ = id;
        }
    }
    constexpr double value() const noexcept { return value_; }
    constexpr uint32_t id() const noexcept { return id_; }

  private:
    double value_ = -std::numeric_limits<double>::infinity();
    uint32_t id_ = std::numeric_limits<uint32_t>::max();
};

}  // namespace bitnetd::worker
