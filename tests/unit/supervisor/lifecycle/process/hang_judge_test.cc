// Goal: a process hangs when it is silent beyond the limit, unless the supervisor itself was
// asleep. Method: a fake clock.
#include "supervisor/lifecycle/process/hang_judge.h"

#include <gtest/gtest.h>

namespace bitnetd::supervisor {
namespace {

TEST(HangJudge, SilenceBeyondTheLimitHangs) {
    HangJudge judge(10, 100);
    uint64_t now = 1000;
    for (; now <= 1100; now += 10) {
        judge.on_tick(now);
        EXPECT_FALSE(judge.hangs(1000)) << now;
    }
    judge.on_tick(1110);
    EXPECT_TRUE(judge.hangs(1000));
    EXPECT_FALSE(judge.hangs(1050));
}

TEST(HangJudge, NoTimeAndTimesToComeProveNothing) {
    HangJudge judge(10, 100);
    judge.on_tick(1000);
    judge.on_tick(1080);
    EXPECT_FALSE(judge.hangs(0));
    EXPECT_FALSE(judge.hangs(UINT64_MAX));
}

TEST(HangJudge, OwnPauseGrantsAFreshInterval) {
    HangJudge judge(10, 100);
    judge.on_tick(1000);
    judge.on_tick(1'000'000);  // stopped, continued
    EXPECT_FALSE(judge.hangs(1000));
    for (uint64_t now = 1'000'010; now <= 1'000'100; now += 10)
        judge.on_tick(now);
    EXPECT_FALSE(judge.hangs(1000));
    judge.on_tick(1'000'110);
    EXPECT_TRUE(judge.hangs(1000));
}

}  // namespace
}  // namespace bitnetd::supervisor
