#include "tests/bench/serve/histogram.h"

#include <algorithm>
#include <cmath>

namespace bitnetd::bench {

double Histogram::min_ms() const noexcept {
    return count_ == 0 ? 0 : static_cast<double>(min_us_) / 1000;
}

double Histogram::mean_ms() const noexcept {
    return count_ == 0 ? 0 : static_cast<double>(sum_us_) / static_cast<double>(count_) / 1000;
}

double Histogram::percentile_ms(double share) const noexcept {
    if (count_ == 0) return 0;
    const double exact_rank = std::ceil(share * static_cast<double>(count_));
    const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(exact_rank));
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
        seen += buckets_[bucket];
        if (seen < rank) continue;
        const uint64_t us = std::clamp(highest_us_of(bucket), min_us_, max_us_);
        return static_cast<double>(us) / 1000;
    }
    return max_ms();
}

// In octave s (s >= 1), bucket s * 64 + m with m = 64 .. 127 holds m << s .. ((m + 1) << s) - 1.
uint64_t Histogram::highest_us_of(size_t bucket) noexcept {
    if (bucket < 2 * kPerOctave) return bucket;
    const size_t shift = bucket / kPerOctave - 1;
    const uint64_t mantissa = bucket - shift * kPerOctave;
    return ((mantissa + 1) << shift) - 1;
}

}  // namespace bitnetd::bench
