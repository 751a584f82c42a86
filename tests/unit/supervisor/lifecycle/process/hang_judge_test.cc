// Goal: a process hangs when it is silent beyond the limit, unless the supervisor itself was
// asleep. Method: a fake clock.
#include "supervisor/lifecycle/process/hang_judge.h"

#include <gtest/gtest.h>

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kTick = 10;
constexpr uint64_t kLimit = 100;

TEST(HangJudge, SilenceBeyondTheLimitHangs) {
    HangJudge judge;
    uint64_t now = 1000;
    for (; now <= 1100; now += 10) {
        judge.on_tick(now, kTick);
        EXPECT_FALSE(judge.hangs(1000, kLimit)) << now;
    }
    judge.on_tick(1110, kTick);
    EXPECT_TRUE(judge.hangs(1000, kLimit));
    EXPECT_FALSE(judge.hangs(1050, kLimit));
}

TEST(HangJudge, NoTimeAndTimesToComeProveNothing) {
    HangJudge judge;
    judge.on_tick(1000, kTick);
    judge.on_tick(1080, kTick);
    EXPECT_FALSE(judge.hangs(0, kLimit));
    EXPECT_FALSE(judge.hangs(UINT64_MAX, kLimit));
}

TEST(HangJudge, OwnPauseGrantsAFreshInterval) {
    HangJudge judge;
    judge.on_tick(1000, kTick);
    judge.on_tick(1'000'000, kTick);  // stopped, continued
    EXPECT_FALSE(judge.hangs(1000, kLimit));
    for (uint64_t now = 1'000'010; now <= 1'000'100; now += 10)
        judge.on_tick(now, kTick);
    EXPECT_FALSE(judge.hangs(1000, kLimit));
    judge.on_tick(1'000'110, kTick);
    EXPECT_TRUE(judge.hangs(1000, kLimit));
}

}  // namespace
}  // namespace bitnetd::supervisor
