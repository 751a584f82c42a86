// Goal: each phase of a child ends by its deadline, with the right signal, once, and with the right
// blame.
// Method: a fake clock.
#include "supervisor/lifecycle/process/child_life.h"

#include <gtest/gtest.h>

#include <string>

namespace bitnetd::supervisor {
namespace {

constexpr LifeLimits kLimits{1000, 100};

TEST(ChildLife, TooLateForReadyIsKilledByItsOwnFault) {
    ChildLife life(kLimits, 5);
    EXPECT_EQ(life.deadline_ns(), 1005u);
    EXPECT_EQ(life.due_signal(1004), 0);
    EXPECT_EQ(life.due_signal(1005), SIGKILL);
    EXPECT_STREQ(life.fault(), "start_timeout");
    EXPECT_EQ(life.due_signal(2000), 0);
}

TEST(ChildLife, ReadyHasNoDeadlineAndComesOnce) {
    ChildLife life(kLimits, 0);
    EXPECT_TRUE(life.on_ready());
    EXPECT_EQ(life.deadline_ns(), UINT64_MAX);
    EXPECT_EQ(life.due_signal(1'000'000), 0);
    EXPECT_FALSE(life.on_ready());
}

TEST(ChildLife, HangIsAbortedThenKilled) {
    ChildLife life(kLimits, 0);
    life.on_ready();
    life.condemn_hung(500);
    EXPECT_EQ(life.due_signal(500), SIGABRT);
    EXPECT_EQ(life.due_signal(599), 0);
    EXPECT_EQ(life.due_signal(600), SIGKILL);
    EXPECT_STREQ(life.fault(), "hang");
}

TEST(ChildLife, CondemningTwiceSendsOneSignalAndKeepsTheFirstFault) {
    ChildLife life(kLimits, 0);
    life.condemn("protocol");
    life.condemn("other");
    life.condemn_hung(1);
    EXPECT_EQ(life.due_signal(1), SIGKILL);
    EXPECT_EQ(life.due_signal(2), 0);
    EXPECT_STREQ(life.fault(), "protocol");
}

TEST(ChildLife, DrainTimeoutIsNotTheChildsFault) {
    ChildLife life(kLimits, 0);
    life.on_ready();
    life.on_drain(700);
    EXPECT_EQ(life.phase(), ChildPhase::kDraining);
    EXPECT_EQ(life.due_signal(699), 0);
    EXPECT_EQ(life.due_signal(700), SIGKILL);
    EXPECT_EQ(life.fault(), nullptr);
}

TEST(ChildLife, ClosedChannelIsForgivenToTheDyingOnly) {
    ChildLife life(kLimits, 0);
    life.on_ready();
    life.on_channel_closed(50);
    EXPECT_EQ(life.due_signal(149), 0);
    EXPECT_EQ(life.fault(), nullptr);
    EXPECT_EQ(life.due_signal(150), SIGKILL);
    EXPECT_STREQ(life.fault(), "closed_control_socket");
}

// Closing its socket is part of its end, which may take longer than any grace: a GPU's memory is
// given back then. Whoever waits for it waits without a deadline.
TEST(ChildLife, ClosedChannelOfAKilledOneIsNoNews) {
    ChildLife life(kLimits, 0);
    life.on_ready();
    life.dismiss();
    EXPECT_EQ(life.due_signal(10), SIGKILL);
    life.on_channel_closed(20);
    EXPECT_EQ(life.deadline_ns(), UINT64_MAX);
    EXPECT_EQ(life.due_signal(5000), 0);
    EXPECT_EQ(life.fault(), nullptr);
}

TEST(ChildLife, DismissedIsKilledWithoutBlame) {
    ChildLife life(kLimits, 0);
    life.dismiss();
    EXPECT_EQ(life.due_signal(0), SIGKILL);
    EXPECT_EQ(life.fault(), nullptr);
    EXPECT_FALSE(life.on_ready());
}

TEST(ChildLife, AdoptedGoesOnWhereItWas) {
    ChildLife ready(kLimits, 5000, ChildPhase::kReady, 70, UINT64_MAX);
    EXPECT_EQ(ready.phase(), ChildPhase::kReady);
    EXPECT_EQ(ready.started_ns(), 70u);
    EXPECT_EQ(ready.deadline_ns(), UINT64_MAX);
    EXPECT_FALSE(ready.on_ready());

    ChildLife draining(kLimits, 5000, ChildPhase::kDraining, 70, 6000);
    EXPECT_EQ(draining.due_signal(5999), 0);
    EXPECT_EQ(draining.due_signal(6000), SIGKILL);
    EXPECT_EQ(draining.fault(), nullptr);
}

TEST(ChildLife, AdoptedWhileStartingHasAllItsTimeAgain) {
    ChildLife fresh(kLimits, 5000);
    ChildLife starting(kLimits, 5000, ChildPhase::kStarting, 70, 80);
    EXPECT_EQ(starting.deadline_ns(), fresh.deadline_ns());
    EXPECT_EQ(starting.started_ns(), 70u);
    EXPECT_TRUE(starting.on_ready());
}

TEST(ChildLife, AdoptedAfterItWasGivenUpIsKilled) {
    ChildLife hung(kLimits, 5000, ChildPhase::kAborting, 70, 80);
    EXPECT_EQ(hung.due_signal(5000), SIGKILL);
    EXPECT_STREQ(hung.fault(), "hang");
    ChildLife killed(kLimits, 5000, ChildPhase::kKilling, 70, UINT64_MAX);
    EXPECT_EQ(killed.due_signal(5000), SIGKILL);
    EXPECT_EQ(killed.fault(), nullptr);
}

}  // namespace
}  // namespace bitnetd::supervisor
