// Goal: run() calls the function once on every thread and returns after all; what one phase wrote,
//       every thread sees in the next; threads sleep and wake without losing a start.
// Method: thousands of phases with more and fewer threads than cores, with spinning and without (so
//       that every wait goes through the futex); under tsan this is also the proof of the ordering.
#include "worker/topology/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <numeric>
#include <vector>

#include "worker/topology/cores.h"

namespace bitnetd::worker {
namespace {

struct Case {
    int threads;
    uint32_t spin_us;
};

class Pools : public ::testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
        auto pool = ThreadPool::create(
            {.cores = std::vector<int>(static_cast<size_t>(GetParam().threads), 0),
             .pin = false,
             .spin_us = GetParam().spin_us});
        ASSERT_TRUE(pool.ok()) << pool.error().message;
        pool_ = std::move(pool).value();
    }

    std::unique_ptr<ThreadPool> pool_;
};

TEST_P(Pools, EveryThreadRunsOncePerPhase) {
    std::vector<int> calls(static_cast<size_t>(pool_->threads()));
    constexpr int kPhases = 2000;
    for (int phase = 0; phase < kPhases; ++phase) {
        pool_->run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
    }
    for (int count : calls)
        EXPECT_EQ(count, kPhases);
}

// Each phase every thread replaces its value by the sum of all: wrong as soon as one thread misses
// what another wrote in the phase before.
TEST_P(Pools, APhaseSeesThePhaseBefore) {
    const size_t threads = static_cast<size_t>(pool_->threads());
    std::vector<uint64_t> now(threads, 1);
    std::vector<uint64_t> next(threads);
    uint64_t expected = 1;
    for (int phase = 0; phase < 1000; ++phase) {
        pool_->run([&](int thread) {
            next[static_cast<size_t>(thread)] =
                std::accumulate(now.begin(), now.end(), uint64_t{1});
        });
        now.swap(next);
        expected = expected * threads + 1;
        for (uint64_t value : now)
            ASSERT_EQ(value, expected);
    }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Pools,
                         ::testing::Values(Case{1, 20}, Case{2, 20}, Case{2, 0}, Case{3, 5},
                                           Case{8, 0}),
                         [](const auto& tested) {
                             return std::to_string(tested.param.threads) + "Threads" +
                                    std::to_string(tested.param.spin_us) + "us";
                         });

TEST(ThreadPoolTest, ThreadsArePinnedWhereAskedAndTheOwnerIsFreedAfter) {
    const auto cores = affinity_cores();
    ASSERT_TRUE(cores.ok());
    {
        const auto pool = ThreadPool::create({.cores = *cores});
        ASSERT_TRUE(pool.ok());
        EXPECT_EQ((*pool)->threads(), static_cast<int>(cores->size()));
        EXPECT_EQ((*pool)->pinned(), (*pool)->threads());
        std::vector<int> ran_on(cores->size());
        (*pool)->run([&](int thread) { ran_on[static_cast<size_t>(thread)] = sched_getcpu(); });
        EXPECT_EQ(ran_on, *cores);
    }
    EXPECT_EQ(affinity_cores().value(), *cores);
}

TEST(ThreadPoolTest, ACoreThatIsNotThereLeavesAThreadUnpinned) {
    const auto pool = ThreadPool::create({.cores = {-1, CPU_SETSIZE + 5}});
    ASSERT_TRUE(pool.ok());
    EXPECT_EQ((*pool)->threads(), 2);
    EXPECT_EQ((*pool)->pinned(), 0);
    int calls[2] = {};
    (*pool)->run([&](int thread) { ++calls[thread]; });
    EXPECT_EQ(calls[0] + calls[1], 2);
}

TEST(ThreadPoolTest, NoCoresIsAnError) {
    EXPECT_FALSE(ThreadPool::create({.cores = {}}).ok());
}

}  // namespace
}  // namespace bitnetd::worker
