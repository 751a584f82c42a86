#include "supervisor/lifecycle/process/child_exit.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

namespace bitnetd::supervisor {
namespace {

std::string signal_text(int number) {
    const char* name = sigabbrev_np(number);
    return "signal " + std::to_string(number) +
           (name == nullptr ? std::string() : " (SIG" + std::string(name) + ")");
}

bool is_crash(int number) {
    return number == SIGSEGV || number == SIGILL || number == SIGBUS || number == SIGFPE ||
           number == SIGABRT || number == SIGSYS || number == SIGTRAP;
}

bool has_ended(int pidfd) {
    pollfd ended{pidfd, POLLIN, 0};
    return poll(&ended, 1, 0) == 1;
}

std::string reason_of(const ChildExit& exit) {
    if (exit.unknown) return "ended, how is not known (adopted)";
    return exit.signal != 0 ? signal_text(exit.signal) : "exit " + std::to_string(exit.status);
}

uint64_t read_oom_kills(const std::string& path) {
    std::ifstream file(path);
    std::string name;
    uint64_t value = 0;
    while (file >> name >> value) {
        if (name == "oom_kill") return value;
    }
    return 0;
}

}  // namespace

std::optional<ChildExit> reap(int pidfd) {
    siginfo_t info{};
    if (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) != 0) {
        if (errno != ECHILD || !has_ended(pidfd)) return std::nullopt;
        return ChildExit{.unknown = true};
    }
    if (info.si_pid == 0) return std::nullopt;
    if (info.si_code == CLD_EXITED) return ChildExit{0, info.si_status};
    return ChildExit{info.si_status, 0};
}

void kill_and_reap(int pidfd) {
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) != 0 && errno != ESRCH) return;
    // Not waitid(): it does not wait by a descriptor that libuv made non-blocking.
    pollfd ended{pidfd, POLLIN, 0};
    while (poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
    reap(pidfd);
}

Verdict judge(const ChildExit& exit, const ExitContext& context) {
    std::string reason = reason_of(exit);
    if (context.fault != nullptr) {
        return {Blame::kOwn, shm::PeerEnd::kOwnFault, std::string(context.fault) + ", " + reason};
    }
    if (context.told_to_end) {
        const bool clean = exit.signal == 0 && exit.status == 0;
        return {Blame::kNobody, clean ? shm::PeerEnd::kDrained : shm::PeerEnd::kKilled, reason};
    }
    if (exit.unknown) return {Blame::kNobody, shm::PeerEnd::kKilled, reason};
    if (exit.signal == SIGKILL && context.oom_killed) reason += ", out of memory";
    const bool own =
        exit.signal == 0 || is_crash(exit.signal) || (exit.signal == SIGKILL && context.oom_killed);
    return {own ? Blame::kOwn : Blame::kNobody,
            own ? shm::PeerEnd::kOwnFault : shm::PeerEnd::kKilled, reason};
}

OomCounter::OomCounter() {
    // cgroup v2: the one line "0::/path".
    std::ifstream file("/proc/self/cgroup");
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with("0::")) path_ = "/sys/fs/cgroup" + line.substr(3) + "/memory.events";
    }
    last_ = read_oom_kills(path_);
}

bool OomCounter::rose() {
    const uint64_t now = read_oom_kills(path_);
    const bool more = now > last_;
    last_ = now;
    return more;
}

}  // namespace bitnetd::supervisor
