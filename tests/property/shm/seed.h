// The seed of a random test: BITNETD_SEED, else a fresh one; printed, so that a failure can be
// replayed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace bitnetd::shm::test {

inline uint64_t choose_seed() {
    const char* given = std::getenv("BITNETD_SEED");
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10)
                                           : (uint64_t{std::random_device{}()} << 32) | 1;
    std::printf("BITNETD_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace bitnetd::shm::test
