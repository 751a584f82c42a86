#include "supervisor/lifecycle/handover/reexec.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "common/base/quote.h"

namespace bitnetd::supervisor {
namespace {

sigset_t operators_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2})
        sigaddset(&set, number);
    return set;
}

// What the exec needs changed in this process; put back when there was no exec.
class ExecState {
  public:
    ExecState() {
        const sigset_t held = operators_signals();
        pthread_sigmask(SIG_SETMASK, &held, &mask_before_);
    }
    ~ExecState() {
        for (const int fd : opened_)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        unsetenv(kHandoverVariable);
        pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
    }
    ExecState(const ExecState&) = delete;
    ExecState& operator=(const ExecState&) = delete;

    Result<void> keep_open(int fd, std::string_view name) {
        if (fcntl(fd, F_SETFD, 0) != 0) {
            return io_error("hand over descriptor " + std::to_string(fd) + " " + quote(name),
                            errno);
        }
        opened_.push_back(fd);
        return {};
    }

  private:
    sigset_t mask_before_;
    std::vector<int> opened_;
};

Result<void> try_exec(const ExecPlan& plan) {
    std::vector<std::string> args = plan.args;
    std::vector<char*> argv;
    for (std::string& arg : args)
        argv.push_back(arg.data());
    argv.push_back(nullptr);

    // Read back before anything is changed: what we would not take, the next one will not.
    const std::string text = handover_text(plan.fds, getpid());
    BITNETD_TRY(parse_handover(text, getpid()));
    BITNETD_ASSIGN(const Fd list, make_handover_file(text));

    ExecState state;
    for (const NamedFd& item : plan.fds)
        BITNETD_TRY(state.keep_open(item.fd, item.name));
    BITNETD_TRY(state.keep_open(list.get(), kHandoverVariable));
    if (setenv(kHandoverVariable, std::to_string(list.get()).c_str(), 1) != 0) {
        return io_error("setenv", errno);
    }
    execve(plan.path.c_str(), argv.data(), environ);
    return io_error("execute " + plan.path, errno);
}

}  // namespace

Error exec_in_place(const ExecPlan& plan) {
    return std::move(try_exec(plan)).error();
}

void hold_signals() {
    const sigset_t held = operators_signals();
    pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

void accept_signals() {
    const sigset_t held = operators_signals();
    pthread_sigmask(SIG_UNBLOCK, &held, nullptr);
}

}  // namespace bitnetd::supervisor
