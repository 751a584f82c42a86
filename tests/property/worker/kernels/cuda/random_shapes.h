// What the comparisons of device kernels with the reference share: shapes from a seed that is
// printed, an order of the emulated threads for each, and the comparison of floats bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

#include "tests/support/cuda/block.h"
#include "worker/kernels/self_check_parts.h"

namespace bitnetd::kernels::cuda_emulated {

// With sanitizers one takes twenty times as long, and what they look for needs fewer.
#ifdef __SANITIZE_ADDRESS__
inline constexpr int kShapesDivisor = 20;
#else
inline constexpr int kShapesDivisor = 1;
#endif

// Calls check(random) for `count` seeds, or until one fails; each has its own order of the threads.
// BITNETD_SEED=n replays from seed n.
template <typename Check>
void for_random_shapes(int count, const Check& check) {
    const char* replay = std::getenv("BITNETD_SEED");
    const uint64_t first = replay ? std::strtoull(replay, nullptr, 10) : std::random_device{}();
    std::cout << "seed " << first << " (BITNETD_SEED=" << first << " replays it)\n";
    const auto shapes = static_cast<uint64_t>((count + kShapesDivisor - 1) / kShapesDivisor);
    for (uint64_t seed = first; seed < first + shapes; ++seed) {
        Random random(seed);
        set_thread_order(static_cast<uint32_t>(random.next()));
        check(random);
        set_thread_order(0);
        if (::testing::Test::HasFailure()) {
            std::cout << "it was BITNETD_SEED=" << seed << '\n';
            return;
        }
    }
}

// Bit for bit, but for what a NaN carries.
inline bool same_float(float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

inline void expect_same(const std::vector<float>& got, const std::vector<float>& want,
                        const char* what) {
    ASSERT_EQ(got.size(), want.size()) << what;
    for (size_t at = 0; at < got.size(); ++at)
        ASSERT_TRUE(same_float(got[at], want[at]))
            << what << " [" << at << "] is " << got[at] << ", not " << want[at];
}

}  // namespace bitnetd::kernels::cuda_emulated
