// Goal: a pid is taken for the process that had it, and for no other.
// Method: this process, a child with parentheses in its name, one that is gone.
#include "supervisor/lifecycle/handover/same_process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace bitnetd::supervisor {
namespace {

TEST(SameProcess, IsFoundByPidAndStart) {
    auto ticks = process_start_ticks(getpid());
    ASSERT_TRUE(ticks.ok()) << ticks.error().message;
    EXPECT_GT(*ticks, 0u);
    auto pidfd = open_process(getpid(), *ticks);
    ASSERT_TRUE(pidfd.ok()) << pidfd.error().message;
    pollfd ended{pidfd->get(), POLLIN, 0};
    EXPECT_EQ(poll(&ended, 1, 0), 0);
    // Another start: another process.
    EXPECT_EQ(open_process(getpid(), *ticks + 1).error().code, ErrorCode::kNotFound);
}

TEST(SameProcess, NameMayHoldAnything) {
    char before[16];
    prctl(PR_GET_NAME, before);
    prctl(PR_SET_NAME, "a) R 1 (b) 2");
    auto ticks = process_start_ticks(getpid());
    prctl(PR_SET_NAME, before);
    ASSERT_TRUE(ticks.ok());
    EXPECT_EQ(*ticks, *process_start_ticks(getpid()));
}

TEST(SameProcess, GoneIsGone) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    waitpid(pid, nullptr, 0);
    EXPECT_EQ(process_start_ticks(pid).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(open_process(pid, 1).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace bitnetd::supervisor
