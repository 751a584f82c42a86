// Goal: percentiles that are reported are those of what was recorded, at most 1.6 % too high, from
// microseconds to days.
// Method: random durations of all magnitudes beside the sorted list itself.
#include "tests/bench/serve/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/bench/serve/rng.h"

namespace bitnetd::bench {
namespace {

TEST(Histogram, PercentilesAreThoseOfTheSortedList) {
    constexpr uint64_t kCount = 20'000;
    Rng rng(7);
    Histogram histogram;
    std::vector<uint64_t> sorted;
    for (uint64_t i = 0; i < kCount; ++i) {
        const uint64_t us = rng.next() >> (27 + rng.below(37));  // below 2^37
        sorted.push_back(us);
        histogram.record_us(us);
    }
    std::sort(sorted.begin(), sorted.end());
    for (const double share : {0.0001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const auto rank = static_cast<size_t>(std::ceil(share * kCount));
        const double exact_ms = static_cast<double>(sorted[rank - 1]) / 1000;
        EXPECT_GE(histogram.percentile_ms(share), exact_ms) << share;
        EXPECT_LE(histogram.percentile_ms(share), exact_ms * (1 + 1.0 / 64)) << share;
    }
    EXPECT_EQ(histogram.count(), kCount);
    EXPECT_EQ(histogram.min_ms(), static_cast<double>(sorted.front()) / 1000);
    EXPECT_EQ(histogram.max_ms(), static_cast<double>(sorted.back()) / 1000);
}

TEST(Histogram, ExactWhereBucketsAreOneMicrosecondWide) {
    for (uint64_t us = 0; us < 128; ++us) {
        Histogram histogram;
        histogram.record_us(us);
        histogram.record_us(1000);
        EXPECT_EQ(histogram.percentile_ms(0.5), static_cast<double>(us) / 1000);
    }
}

TEST(Histogram, EmptyIsZeroAndTheLongestFits) {
    Histogram histogram;
    EXPECT_EQ(histogram.percentile_ms(0.99), 0);
    EXPECT_EQ(histogram.min_ms(), 0);
    EXPECT_EQ(histogram.mean_ms(), 0);
    histogram.record_us(Histogram::kLongestUs);
    histogram.record_us(uint64_t{1} << 50);
    EXPECT_EQ(histogram.count(), 2u);
    EXPECT_EQ(histogram.max_ms(), std::ldexp(1.0, 50) / 1000) << "the largest stays exact";
    EXPECT_EQ(histogram.percentile_ms(0.5), static_cast<double>(Histogram::kLongestUs) / 1000);
}

TEST(Histogram, NanosecondsAndMean) {
    Histogram histogram;
    histogram.record_ns(2'000'999);
    histogram.record_ns(4'000'000);
    EXPECT_EQ(histogram.min_ms(), 2.0);
    EXPECT_EQ(histogram.mean_ms(), 3.0);
}

}  // namespace
}  // namespace bitnetd::bench
