// Goal: the server ends in order, and a second order ends it now.
// Method: calls in every order that signals and deaths can come in.
#include "supervisor/lifecycle/shutdown.h"

#include <gtest/gtest.h>

namespace bitnetd::supervisor {
namespace {

TEST(Shutdown, FrontendsThenWorkersThenDone) {
    Shutdown shutdown;
    EXPECT_FALSE(shutdown.on_count(0, 0));  // nobody asked
    EXPECT_TRUE(shutdown.on_terminate());
    EXPECT_FALSE(shutdown.replaces_frontends());
    EXPECT_TRUE(shutdown.replaces_workers());  // the last streams need them
    EXPECT_FALSE(shutdown.on_count(1, 2));
    EXPECT_TRUE(shutdown.on_count(0, 2));
    EXPECT_EQ(shutdown.phase(), ShutdownPhase::kDrainingWorkers);
    EXPECT_FALSE(shutdown.replaces_workers());
    EXPECT_FALSE(shutdown.on_count(0, 1));
    EXPECT_TRUE(shutdown.on_count(0, 0));
    EXPECT_EQ(shutdown.phase(), ShutdownPhase::kDone);
    EXPECT_FALSE(shutdown.on_quit());
    EXPECT_FALSE(shutdown.on_terminate());
}

TEST(Shutdown, SecondTermKillsInEveryPhase) {
    for (const bool workers_too : {false, true}) {
        Shutdown shutdown;
        shutdown.on_terminate();
        if (workers_too) shutdown.on_count(0, 1);
        EXPECT_TRUE(shutdown.on_terminate());
        EXPECT_EQ(shutdown.phase(), ShutdownPhase::kKilling);
        EXPECT_FALSE(shutdown.on_terminate());
        EXPECT_FALSE(shutdown.on_count(1, 0));
        EXPECT_TRUE(shutdown.on_count(0, 0));
    }
}

TEST(Shutdown, QuitKillsAtOnce) {
    Shutdown shutdown;
    EXPECT_TRUE(shutdown.on_quit());
    EXPECT_FALSE(shutdown.replaces_workers());
    EXPECT_TRUE(shutdown.on_count(0, 0));
}

}  // namespace
}  // namespace bitnetd::supervisor
