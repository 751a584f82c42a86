#include "supervisor/lifecycle/process/spawn.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "shm/control/child_link.h"

namespace bitnetd::supervisor {
namespace {

// All that the child needs, made before the fork: between fork and exec nothing may be allocated.
struct Prepared {
    std::vector<char*> argv;
    std::string oom_score_adj;
    pid_t parent;
    int status_pipe;
};

// What the child reports through the status pipe when it fails before its program runs.
struct StartFailure {
    char step[24];
    int error;
};

// Between fork and exec: only async-signal-safe calls, no allocation.
[[noreturn]] void fail_in_child(int status_fd, const char* step) noexcept {
    StartFailure failure{};
    failure.error = errno;
    for (size_t i = 0; i + 1 < sizeof failure.step && step[i] != '\0'; ++i) {
        failure.step[i] = step[i];
    }
    [[maybe_unused]] const ssize_t written = write(status_fd, &failure, sizeof failure);
    _exit(127);
}

void reset_signals() noexcept {
    // SIGKILL and SIGSTOP refuse, and so do the two that glibc keeps; both is harmless.
    for (int number = 1; number < NSIG; ++number)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Best effort: a kernel that refuses leaves the default, which only makes the choice less good.
void apply_priorities(const SpawnPlan& plan, const std::string& oom_score_adj) noexcept {
    if (!plan.core_dumps) {
        rlimit limit{};
        if (getrlimit(RLIMIT_CORE, &limit) == 0) {
            limit.rlim_cur = 0;
            setrlimit(RLIMIT_CORE, &limit);
        }
    }
    if (plan.nice != 0) setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + plan.nice);
    const int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    [[maybe_unused]] const ssize_t written =
        write(file, oom_score_adj.data(), oom_score_adj.size());
    close(file);
}

[[noreturn]] void run_child(const SpawnPlan& plan, const Prepared& prepared) noexcept {
    // Everything we keep goes above the numbers we assign, so that no dup2 closes what is needed.
    constexpr int kAbove = 16;
    const int status = fcntl(prepared.status_pipe, F_DUPFD_CLOEXEC, kAbove);
    if (status < 0) _exit(127);
    const int program = fcntl(plan.program, F_DUPFD_CLOEXEC, kAbove);
    const int control = fcntl(plan.control, F_DUPFD_CLOEXEC, kAbove);
    if (program < 0 || control < 0) fail_in_child(status, "duplicate descriptors");

    if (setpgid(0, 0) != 0) fail_in_child(status, "setpgid");
    reset_signals();
    if (plan.parent_death_signal != 0) {
        if (prctl(PR_SET_PDEATHSIG, plan.parent_death_signal) != 0) {
            fail_in_child(status, "PR_SET_PDEATHSIG");
        }
        // The parent may have died before the line above: then no signal comes.
        if (getppid() != prepared.parent) _exit(127);
    }
    apply_priorities(plan, prepared.oom_score_adj);

    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0) fail_in_child(status, "open /dev/null");
    if (dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
        dup2(control, shm::kControlFd) < 0) {
        fail_in_child(status, "dup2");
    }
    // Close-on-exec is our rule everywhere; this also covers what a library opened without it.
    if (close_range(shm::kControlFd + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0) {
        fail_in_child(status, "close_range");
    }
    syscall(SYS_execveat, program, "", prepared.argv.data(), environ, AT_EMPTY_PATH);
    fail_in_child(status, "execveat");
}

// Blocks until the program runs (the pipe closes) or the child says why it does not.
Result<void> await_exec(int status_fd, pid_t pid) {
    StartFailure failure{};
    ssize_t got = 0;
    do {
        got = read(status_fd, &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    if (got == 0) return {};
    waitpid(pid, nullptr, 0);
    if (got != sizeof failure) return io_error("read the child's status", got < 0 ? errno : EPROTO);
    failure.step[sizeof failure.step - 1] = '\0';
    return io_error(failure.step, failure.error);
}

}  // namespace

Result<Spawned> spawn(const SpawnPlan& plan) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return io_error("pipe2", errno);
    Fd status_read(ends[0]);
    Fd status_write(ends[1]);

    Prepared prepared{{}, std::to_string(plan.oom_score_adj), getpid(), status_write.get()};
    for (const std::string& arg : plan.args) {
        prepared.argv.push_back(const_cast<char*>(arg.c_str()));
    }
    prepared.argv.push_back(nullptr);

    // A signal that reached the child before reset_signals() would run our handlers there, and
    // those write to a pipe that we share: it would look like our own signal.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = fork();
    if (pid == 0) run_child(plan, prepared);
    const int fork_error = errno;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) return io_error("fork", fork_error);
    status_write.reset();

    Spawned child;
    child.pid = pid;
    auto started = await_exec(status_read.get(), pid);
    if (!started.ok()) return std::move(started).error().within("start " + plan.args.at(0));
    // Nobody else reaps our children, so the number still names this one, dead or alive.
    child.pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!child.pidfd) {
        const int error = errno;
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        return io_error("pidfd_open", error);
    }
    return child;
}

}  // namespace bitnetd::supervisor
