// Goal: a child starts clean (descriptors, signals, group, limits) and its end is known exactly.
// Method: real children: the probe of fakes/fake_child.cc reports what it finds about itself.
#include "supervisor/lifecycle/process/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "common/base/clock.h"
#include "shm/control/channel.h"
#include "supervisor/lifecycle/process/child_exit.h"

namespace bitnetd::supervisor {
namespace {

struct Probe {
    Fd program;
    Fd ours;
    Fd theirs;
    SpawnPlan plan;

    explicit Probe(const char* how)
        : program(open(BITNETD_BINARY_DIR "/fake-child", O_PATH | O_CLOEXEC)) {
        auto ends = shm::Channel::make_pair();
        ours = std::move(ends->first);
        theirs = std::move(ends->second);
        plan.program = program.get();
        plan.control = theirs.get();
        plan.args = {"spawn-probe", how};
    }

    Result<Spawned> start() {
        auto child = spawn(plan);
        theirs.reset();
        return child;
    }

    std::string report() {
        char text[2048];
        pollfd wait{ours.get(), POLLIN, 0};
        poll(&wait, 1, 60'000);
        const ssize_t got = recv(ours.get(), text, sizeof text, 0);
        return got < 0 ? "" : " " + std::string(text, static_cast<size_t>(got)) + " ";
    }
};

ChildExit wait_for(const Spawned& child) {
    pollfd wait{child.pidfd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&wait, 1, 60'000), 1);
    const auto exit = reap(child.pidfd.get());
    EXPECT_TRUE(exit.has_value());
    return exit.value_or(ChildExit{-1, -1});
}

TEST(Spawn, ChildStartsClean) {
    // What a careless library or an odd caller could leave open or set for the child to inherit.
    const Fd leaked(open("/dev/null", O_RDONLY));
    const Fd high(fcntl(leaked.get(), F_DUPFD, 200));
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    struct sigaction ignore {
    }, previous{};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &previous);

    Probe probe("0");
    probe.plan.parent_death_signal = SIGTERM;
    probe.plan.nice = 7;
    auto child = probe.start();
    sigaction(SIGPIPE, &previous, nullptr);
    sigset_t after;
    sigprocmask(SIG_SETMASK, &before, &after);
    EXPECT_EQ(sigismember(&after, SIGUSR1), 1);  // spawn() put our mask back
    EXPECT_EQ(sigismember(&after, SIGTERM), 0);
    ASSERT_TRUE(child.ok()) << child.error().message;
    const std::string report = probe.report();
    const int nice = std::min(getpriority(PRIO_PROCESS, 0) + 7, 19);
    for (const std::string& expected : std::initializer_list<std::string>{
             " fds=0,1,2,3, ", " stdin=/dev/null ", " same_output=1 ", " own_group=1 ",
             " blocked=0 ", " sigpipe_default=1 ", " death_signal=15 ", " core=0 ",
             " nice=" + std::to_string(nice) + " "}) {
        EXPECT_NE(report.find(expected), std::string::npos) << expected << " in" << report;
    }
    EXPECT_EQ(wait_for(*child).status, 0);
}

TEST(Spawn, ExitCodeAndSignalAreTold) {
    Probe seven("7");
    auto child = seven.start();
    ASSERT_TRUE(child.ok());
    const ChildExit exited = wait_for(*child);
    EXPECT_EQ(exited.signal, 0);
    EXPECT_EQ(exited.status, 7);

    Probe abort("abort");
    child = abort.start();
    ASSERT_TRUE(child.ok());
    EXPECT_EQ(wait_for(*child).signal, SIGABRT);
}

TEST(Spawn, LivingChildIsNotReaped) {
    Probe probe("wait");
    auto child = probe.start();
    ASSERT_TRUE(child.ok());
    EXPECT_FALSE(reap(child->pidfd.get()).has_value());
    // The probe ends when its control socket closes; unread, its report would make that a reset.
    EXPECT_NE(probe.report(), "");
    probe.ours.reset();
    EXPECT_EQ(wait_for(*child).status, 0);
}

TEST(Spawn, WhatCannotRunIsAnErrorAndLeavesNothing) {
    Probe probe("0");
    const Fd folder(open("/", O_PATH | O_CLOEXEC));
    probe.plan.program = folder.get();
    auto child = probe.start();
    ASSERT_FALSE(child.ok());
    EXPECT_NE(child.error().message.find("execveat"), std::string::npos) << child.error().message;
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no child, not even a zombie
}

}  // namespace
}  // namespace bitnetd::supervisor
