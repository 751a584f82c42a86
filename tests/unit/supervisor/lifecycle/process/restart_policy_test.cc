// Goal: a child is restarted at once when it was not to blame, ever later when it was, and left
// alone when it dies again and again. Method: a fake clock; random histories of deaths, replayed by
// seed, against the promises.
#include "supervisor/lifecycle/process/restart_policy.h"

#include <gtest/gtest.h>

#include <random>

namespace bitnetd::supervisor {
namespace {

constexpr RestartLimits kLimits{100, 10'000, 5, 1'000'000, 30'000'000};

TEST(RestartPolicy, DeathFromOutsideRestartsAtOnce) {
    RestartPolicy policy(kLimits, 1);
    for (uint64_t now = 1; now < 1000; ++now) {
        const auto decision = policy.on_death(Blame::kNobody, 1, now);
        EXPECT_EQ(decision.start_at_ns, now);
        EXPECT_FALSE(decision.breaker_open);
    }
}

TEST(RestartPolicy, PausesDoubleUpToTheMaximum) {
    RestartLimits limits = kLimits;
    limits.breaker_deaths = 1000;
    RestartPolicy policy(limits, 2);
    uint64_t expected = 100;
    for (int i = 0; i < 40; ++i) {
        const uint64_t pause = policy.on_death(Blame::kOwn, 0, 1'000).start_at_ns - 1'000;
        EXPECT_GE(pause, expected / 2);
        EXPECT_LE(pause, expected);
        expected = std::min<uint64_t>(expected * 2, 10'000);
    }
}

TEST(RestartPolicy, BreakerOpensAndOneFailedTryOpensItAgain) {
    RestartPolicy policy(kLimits, 3);
    uint64_t now = 0;
    for (int i = 0; i < 4; ++i)
        EXPECT_FALSE(policy.on_death(Blame::kOwn, 0, ++now).breaker_open);
    const auto open = policy.on_death(Blame::kOwn, 0, ++now);
    EXPECT_TRUE(open.breaker_open);
    EXPECT_GE(open.start_at_ns - now, 15'000'000u);
    now = open.start_at_ns + 10;
    EXPECT_TRUE(policy.on_death(Blame::kOwn, 10, now).breaker_open);
}

TEST(RestartPolicy, NewLimitsCountWhatWasCountedBefore) {
    RestartPolicy policy(kLimits, 5);
    EXPECT_FALSE(policy.on_death(Blame::kOwn, 0, 1).breaker_open);
    RestartLimits limits = kLimits;
    limits.breaker_deaths = 2;
    limits.breaker_pause_ns = 60'000'000;
    policy.use_limits(limits);
    const auto open = policy.on_death(Blame::kOwn, 0, 2);
    EXPECT_TRUE(open.breaker_open);
    EXPECT_GE(open.start_at_ns, 30'000'000u);
}

TEST(RestartPolicy, LongLifeWipesTheRecord) {
    RestartPolicy policy(kLimits, 4);
    uint64_t now = 0;
    for (int i = 0; i < 5; ++i)
        policy.on_death(Blame::kOwn, 0, ++now);
    now += 100'000'000;
    const auto decision = policy.on_death(Blame::kOwn, kLimits.breaker_window_ns, now);
    EXPECT_FALSE(decision.breaker_open);
    EXPECT_LE(decision.start_at_ns - now, 100u);
}

TEST(RestartPolicy, OldDeathsLeaveTheWindow) {
    RestartPolicy policy(kLimits, 5);
    uint64_t now = 0;
    for (int i = 0; i < 100; ++i) {
        now += kLimits.breaker_window_ns / 4 + 1;  // never five within one window
        EXPECT_FALSE(policy.on_death(Blame::kOwn, 1, now).breaker_open) << i;
    }
}

// However a child dies, it is not started more often in any window than the breaker allows,
// counting only deaths of its own doing; and every pause is within its bounds.
TEST(RestartPolicy, RandomHistoriesKeepThePromises) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937_64 random(seed);
        RestartPolicy policy(kLimits, seed);
        uint64_t now = 1;
        std::vector<uint64_t> own_deaths;
        for (int i = 0; i < 300; ++i) {
            const uint64_t lived = random() % 3 == 0 ? random() % 2'000'000 : random() % 1'000;
            now += lived;
            const Blame blame = random() % 4 == 0 ? Blame::kNobody : Blame::kOwn;
            const auto decision = policy.on_death(blame, lived, now);
            ASSERT_GE(decision.start_at_ns, now);
            ASSERT_LE(decision.start_at_ns - now, kLimits.breaker_pause_ns);
            if (!decision.breaker_open) {
                ASSERT_LE(decision.start_at_ns - now, kLimits.backoff_max_ns);
            }
            if (blame == Blame::kNobody) {
                ASSERT_EQ(decision.start_at_ns, now);
            } else {
                own_deaths.push_back(now);
            }
            now = decision.start_at_ns;
        }
        // The window before any death holds at most the breaker's number, and that one opened it.
        for (size_t i = kLimits.breaker_deaths; i < own_deaths.size(); ++i) {
            ASSERT_GT(own_deaths[i] - own_deaths[i - kLimits.breaker_deaths],
                      kLimits.breaker_window_ns);
        }
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
