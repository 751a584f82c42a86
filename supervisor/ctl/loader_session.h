// LoaderSession: one confined bitnetd-loader, started for one task. bitnetctl itself parses no
// model: it opens files, passes descriptors, and waits for the verdict. What the loader says is not
// trusted: it may have been taken over by the file it reads.
#pragma once

#include <functional>
#include <span>

#include "common/base/result.h"
#include "shm/control/channel.h"
#include "supervisor/ctl/interrupts.h"
#include "supervisor/ctl/progress_line.h"
#include "supervisor/lifecycle/process/spawn.h"

namespace bitnetd::supervisor {

struct TaskEnd {
    bool refused = false;    // done, and the verdict is no: the output says why
    int interrupted_by = 0;  // a signal to us; nothing is done then
};

class LoaderSession {
  public:
    // Starts bitnetd-loader from the folder of this executable. It dies with us.
    static Result<LoaderSession> start();
    LoaderSession(LoaderSession&&) noexcept = default;
    LoaderSession& operator=(LoaderSession&&) = delete;
    // Kills a loader that still runs.
    ~LoaderSession();

    // For what the task is about: settings and files, before run().
    shm::Channel& channel() { return channel_; }

    // The task, with descriptors as TaskMessage says; they stay the caller's. The error is the
    // loader's reason, or how it died.
    Result<TaskEnd> run(const shm::TaskMessage& task, std::span<const int> fds,
                        Interrupts& interrupts, ProgressLine& progress);

  private:
    LoaderSession(Spawned process, Fd control)
        : process_(std::move(process)), channel_(std::move(control)) {}
    Result<bool> take(const shm::Message& message, TaskEnd& end, ProgressLine& progress);
    Error death();

    Spawned process_;
    shm::Channel channel_;
};

}  // namespace bitnetd::supervisor
