// Goal: a process that a predecessor started is watched as one of our own: it hears, speaks, ends;
// how it ended is known when it is our child and "unknown" when it is not. A released child lives.
// Method: the probe of fakes/fake_child.cc, started here (as after an exec in place) or by a
// process in between that is gone (as after a restart by systemd).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "common/base/clock.h"
#include "supervisor/lifecycle/process/child.h"

namespace bitnetd::supervisor {
namespace {

class ChildAdoption : public testing::Test, public ChildOwner {
  protected:
    void SetUp() override { ASSERT_EQ(uv_loop_init(&loop_), 0); }
    void TearDown() override {
        child_.reset();
        uv_run(&loop_, UV_RUN_DEFAULT);
        EXPECT_EQ(uv_loop_close(&loop_), 0);
        EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no child is left, not even a zombie
    }

    void on_message(Child&, shm::Message&) override {}
    void on_condemned(Child&) override { ++condemned_; }
    void on_exit(Child&, const ChildExit& exit) override {
        exit_ = exit;
        child_.reset();
    }

    // The probe, which ends when its control socket closes: its pid, and our end.
    Adoption start_probe() {
        auto ends = shm::Channel::make_pair();
        const Fd program(open(BITNETD_BINARY_DIR "/fake-child", O_PATH | O_CLOEXEC));
        SpawnPlan plan;
        plan.program = program.get();
        plan.control = ends->second.get();
        plan.args = {"spawn-probe", "wait"};
        auto spawned = spawn(plan);
        EXPECT_TRUE(spawned.ok());
        Adoption adoption;
        adoption.pid = spawned->pid;
        adoption.pidfd = std::move(spawned->pidfd);
        adoption.control = std::move(ends->first);
        adoption.name = "worker/0";
        adoption.incarnation = 12;
        adoption.phase = ChildPhase::kReady;
        swallow_report(adoption.control.get());
        return adoption;
    }

    // The same, started by a process that is gone: it is not our child.
    Adoption start_orphan() {
        int pair[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        const Fd ours(pair[0]), theirs(pair[1]);
        const pid_t between = fork();
        if (between == 0) {
            Adoption adoption = start_probe();
            send_adoption(theirs.get(), adoption);
            _exit(0);
        }
        waitpid(between, nullptr, 0);
        Adoption adoption = receive_adoption(ours.get());
        adoption.name = "worker/0";
        adoption.phase = ChildPhase::kReady;
        return adoption;
    }

    void adopt(Adoption adoption) {
        auto child = Child::adopt(&loop_, std::move(adoption), {kNsPerS, kNsPerS}, *this);
        ASSERT_TRUE(child.ok()) << child.error().message;
        child_ = std::move(*child);
    }

    void run_until_exit() {
        while (child_)
            uv_run(&loop_, UV_RUN_ONCE);
    }

    static void swallow_report(int control) {
        pollfd readable{control, POLLIN, 0};
        EXPECT_EQ(poll(&readable, 1, 60'000), 1);
        char text[2048];
        EXPECT_GT(recv(control, text, sizeof text, 0), 0);
    }

    static void send_adoption(int socket, const Adoption& adoption) {
        shm::Channel channel(Fd(fcntl(socket, F_DUPFD_CLOEXEC, 0)));
        const int fds[] = {adoption.pidfd.get(), adoption.control.get()};
        if (!channel.send(shm::MessageType::kSelf, adoption.pid, fds).ok()) _exit(1);
    }

    static Adoption receive_adoption(int socket) {
        shm::Channel channel(Fd(fcntl(socket, F_DUPFD_CLOEXEC, 0)));
        auto message = channel.wait(monotonic_ns() + 60 * kNsPerS);
        Adoption adoption;
        EXPECT_TRUE(message.ok() && message->expect_fds(2).ok());
        if (!message.ok() || message->fds.size() != 2) return adoption;
        adoption.pid = *message->as<pid_t>();
        adoption.pidfd = std::move(message->fds[0]);
        adoption.control = std::move(message->fds[1]);
        return adoption;
    }

    uv_loop_t loop_;
    std::unique_ptr<Child> child_;
    std::optional<ChildExit> exit_;
    int condemned_ = 0;
};

TEST_F(ChildAdoption, OurOwnChildEndsKnown) {
    adopt(start_probe());
    EXPECT_EQ(child_->life().phase(), ChildPhase::kReady);
    EXPECT_EQ(child_->incarnation(), 12u);
    kill(child_->pid(), SIGTERM);
    run_until_exit();
    ASSERT_TRUE(exit_.has_value());
    EXPECT_FALSE(exit_->unknown);
    EXPECT_EQ(exit_->signal, SIGTERM);
}

TEST_F(ChildAdoption, AnothersChildEndsUnknown) {
    Adoption orphan = start_orphan();
    EXPECT_FALSE(reap(orphan.pidfd.get()).has_value());  // it lives
    const Fd pidfd(fcntl(orphan.pidfd.get(), F_DUPFD_CLOEXEC, 0));
    adopt(std::move(orphan));
    child_->life().condemn("protocol");
    child_->apply_signals(monotonic_ns());
    EXPECT_EQ(condemned_, 1);
    run_until_exit();
    ASSERT_TRUE(exit_.has_value());
    EXPECT_TRUE(exit_->unknown);
    EXPECT_TRUE(reap(pidfd.get())->unknown);
}

TEST_F(ChildAdoption, OneThatDiedMeanwhileIsNoticed) {
    Adoption adoption = start_probe();
    adoption.phase = ChildPhase::kStarting;
    kill(adoption.pid, SIGKILL);
    adopt(std::move(adoption));
    run_until_exit();
    EXPECT_EQ(exit_->signal, SIGKILL);
}

TEST_F(ChildAdoption, ReleasedItLivesAndIsNotTold) {
    Adoption adoption = start_probe();
    const pid_t pid = adoption.pid;
    const Fd pidfd(fcntl(adoption.pidfd.get(), F_DUPFD_CLOEXEC, 0));
    const Fd control(fcntl(adoption.control.get(), F_DUPFD_CLOEXEC, 0));  // the successor's
    adopt(std::move(adoption));
    EXPECT_EQ(fcntl(child_->pidfd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(fcntl(child_->control_fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_FALSE(child_->has_unsent());
    child_->release();
    child_->send(shm::MessageType::kDrain);
    child_->life().condemn("protocol");
    child_->apply_signals(monotonic_ns());
    EXPECT_EQ(condemned_, 0);
    child_.reset();
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_FALSE(reap(pidfd.get()).has_value());
    EXPECT_FALSE(exit_.has_value());
    // A successor takes it up where it is.
    Adoption again;
    again.pid = pid;
    again.pidfd = Fd(fcntl(pidfd.get(), F_DUPFD_CLOEXEC, 0));
    again.control = Fd(fcntl(control.get(), F_DUPFD_CLOEXEC, 0));
    adopt(std::move(again));
}

TEST_F(ChildAdoption, WhatWaitsForAFullSocketIsSaid) {
    adopt(start_probe());
    // The probe reads nothing.
    for (int i = 0; i < 1000 && !child_->has_unsent(); ++i)
        child_->send_text(shm::MessageType::kSettings, std::string(50'000, 'x'));
    EXPECT_TRUE(child_->has_unsent());
}

TEST_F(ChildAdoption, WrongDescriptorsAreRefused) {
    const auto refused = [&](Adoption adoption) {
        auto child = Child::adopt(&loop_, std::move(adoption), {}, *this);
        return child.ok() ? "(none)" : child.error().message;
    };
    Adoption probe = start_probe();
    const pid_t pid = probe.pid;
    const auto with = [&](int pidfd, int control, pid_t number) {
        Adoption adoption;
        adoption.name = "worker/0";
        adoption.pid = number;
        adoption.pidfd = Fd(fcntl(pidfd, F_DUPFD_CLOEXEC, 0));
        adoption.control = Fd(fcntl(control, F_DUPFD_CLOEXEC, 0));
        return adoption;
    };
    const int pidfd = probe.pidfd.get();
    const int control = probe.control.get();
    EXPECT_NE(refused(with(control, control, pid)).find("no pidfd"), std::string::npos);
    EXPECT_NE(refused(with(-1, control, pid)).find("no pidfd"), std::string::npos);
    EXPECT_NE(refused(with(pidfd, control, pid + 1)).find("found one of"), std::string::npos);
    EXPECT_NE(refused(with(pidfd, pidfd, pid)).find("no control socket"), std::string::npos);
    EXPECT_FALSE(reap(pidfd).has_value());  // nobody killed it
    adopt(std::move(probe));
}

}  // namespace
}  // namespace bitnetd::supervisor
