// The ids of metrics.def as enums, and the histogram's fixed buckets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bitnetd {

enum class Counter : uint32_t {
#define BITNETD_COUNTER(id, name, parts, help) id,
#include "common/metrics/metrics.def"
    kCount
};

enum class Gauge : uint32_t {
#define BITNETD_GAUGE(id, name, parts, help) id,
#include "common/metrics/metrics.def"
    kCount
};

enum class Histogram : uint32_t {
#define BITNETD_HISTOGRAM(id, name, help) id,
#include "common/metrics/metrics.def"
    kCount
};

inline constexpr size_t kCounterCount = static_cast<size_t>(Counter::kCount);
inline constexpr size_t kGaugeCount = static_cast<size_t>(Gauge::kCount);
inline constexpr size_t kHistogramCount = static_cast<size_t>(Histogram::kCount);

struct MetricText {
    const char* name;
    const char* help;
    double parts = 1;  // see metrics.def

    // What a board counted, in the unit of the name.
    double in_unit(uint64_t counted) const { return static_cast<double>(counted) / parts; }
};

inline constexpr std::array<MetricText, kCounterCount> kCounterTexts = {{
#define BITNETD_COUNTER(id, name, parts, help) {name, help, parts},
#include "common/metrics/metrics.def"
}};
inline constexpr std::array<MetricText, kGaugeCount> kGaugeTexts = {{
#define BITNETD_GAUGE(id, name, parts, help) {name, help, parts},
#include "common/metrics/metrics.def"
}};
inline constexpr std::array<MetricText, kHistogramCount> kHistogramTexts = {{
#define BITNETD_HISTOGRAM(id, name, help) {name, help, 1e9},
#include "common/metrics/metrics.def"
}};

// Upper bounds in nanoseconds: 100 us doubling up to 100 us * 2^22 = 419 s, then infinity.
inline constexpr size_t kHistogramBuckets = 24;
constexpr uint64_t histogram_bound_ns(size_t bucket) {
    return bucket + 1 < kHistogramBuckets ? uint64_t{100'000} << bucket : UINT64_MAX;
}
constexpr size_t histogram_bucket(uint64_t value_ns) {
    size_t bucket = 0;
    while (value_ns > histogram_bound_ns(bucket))
        ++bucket;
    return bucket;
}

}  // namespace bitnetd
