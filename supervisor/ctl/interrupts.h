// Interrupts: SIGINT, SIGTERM and SIGHUP as something to poll, so that a command that is
// interrupted takes its unfinished files away before it ends. Main thread; one at a time.
#pragma once

#include <csignal>
#include <optional>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

class Interrupts {
  public:
    static Result<Interrupts> watch();
    Interrupts(Interrupts&&) noexcept = default;
    Interrupts& operator=(Interrupts&&) = delete;
    // Signals act as before again.
    ~Interrupts();

    // Readable when one has come.
    int fd() const { return fd_.get(); }
    // The signal that came, if any.
    std::optional<int> take();

  private:
    Interrupts(Fd fd, const sigset_t& before) : fd_(std::move(fd)), before_(before) {}

    Fd fd_;
    sigset_t before_;
};

// Ends this process by `signal`, as if it had not been caught: a shell sees what happened.
[[noreturn]] void end_by(int signal);

}  // namespace bitnetd::supervisor
