// Time. Monotonic nanoseconds are comparable between processes of one machine (CLOCK_MONOTONIC).
#pragma once

#include <cstdint>
#include <ctime>

namespace bitnetd {

inline uint64_t clock_ns(clockid_t clock) noexcept {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

inline uint64_t monotonic_ns() noexcept {
    return clock_ns(CLOCK_MONOTONIC);
}
// Processor time of all threads.
inline uint64_t process_cpu_ns() noexcept {
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}
inline uint64_t unix_milliseconds() noexcept {
    return clock_ns(CLOCK_REALTIME) / 1'000'000;
}
inline int64_t unix_seconds() noexcept {
    return static_cast<int64_t>(time(nullptr));
}

constexpr uint64_t kNsPerMs = 1'000'000;
constexpr uint64_t kNsPerS = 1'000'000'000;

}  // namespace bitnetd
