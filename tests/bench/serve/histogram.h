// Durations in a fixed 16 KiB, however many there are: 64 buckets per power of two, so that a
// percentile is at most 1.6 % too high. Smallest, largest, mean and count are exact.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bitnetd::bench {

class Histogram {
  public:
    // 2^37 us are 38 hours; what is longer is counted in the last bucket.
    static constexpr uint64_t kLongestUs = (uint64_t{1} << 37) - 1;

    void record_ns(uint64_t ns) noexcept { record_us(ns / 1000); }
    void record_us(uint64_t us) noexcept {
        ++buckets_[bucket_of(us < kLongestUs ? us : kLongestUs)];
        ++count_;
        sum_us_ += us;
        if (us < min_us_) min_us_ = us;
        if (us > max_us_) max_us_ = us;
    }

    uint64_t count() const noexcept { return count_; }
    // All of these are 0 when nothing was recorded.
    double min_ms() const noexcept;
    double max_ms() const noexcept { return static_cast<double>(max_us_) / 1000; }
    double mean_ms() const noexcept;
    // The smallest recorded duration that at least `share` of all (0 < share <= 1) do not exceed.
    double percentile_ms(double share) const noexcept;

  private:
    static constexpr int kLinearBits = 6;  // below 64 us each has a bucket of its own
    static constexpr size_t kPerOctave = size_t{1} << kLinearBits;
    static constexpr size_t kBuckets = (37 - kLinearBits + 1) * kPerOctave;

    static size_t bucket_of(uint64_t us) noexcept {
        if (us < kPerOctave) return us;
        const int shift = std::bit_width(us) - kLinearBits - 1;
        return static_cast<size_t>(shift) * kPerOctave + (us >> shift);
    }
    static uint64_t highest_us_of(size_t bucket) noexcept;

    std::array<uint64_t, kBuckets> buckets_{};
    uint64_t count_ = 0;
    uint64_t sum_us_ = 0;
    uint64_t min_us_ = UINT64_MAX;
    uint64_t max_us_ = 0;
};

}  // namespace bitnetd::bench
