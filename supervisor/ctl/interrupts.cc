#include "supervisor/ctl/interrupts.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace bitnetd::supervisor {

Result<Interrupts> Interrupts::watch() {
    sigset_t watched, before;
    sigemptyset(&watched);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        sigaddset(&watched, signal);
    if (const int error = pthread_sigmask(SIG_BLOCK, &watched, &before); error != 0) {
        return io_error("block signals", error);
    }
    Fd fd(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) {
        const int error = errno;
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return io_error("signalfd", error);
    }
    return Interrupts(std::move(fd), before);
}

Interrupts::~Interrupts() {
    if (fd_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> Interrupts::take() {
    signalfd_siginfo info{};
    if (read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
}

void end_by(int signal) {
    std::signal(signal, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    raise(signal);
    constexpr int kShellCode = 128;  // what a shell says of a process that a signal ended
    _exit(kShellCode + signal);
}

}  // namespace bitnetd::supervisor
