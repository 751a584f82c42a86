// What every worker program is around its device: the command line, the log, the first messages,
// SIGTERM, and the way out with an exit code and its reason. Main thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "shm/control/child_link.h"
#include "worker/process/worker_setup.h"

namespace bitnetd::worker {

// A worker on one kind of device.
class Worker {
  public:
    virtual ~Worker() = default;
    // Everything until it has said READY; what was allocated by then is all there will be.
    virtual std::optional<Failure> start() = 0;
    virtual ExitCode run() = 0;
};

using MakeWorker = std::unique_ptr<Worker> (*)(shm::ChildLink& link, uint32_t device_index);

// Of `--device KIND:N [--model ID]`: starts the worker that `make` makes for device N, runs it, and
// returns the exit code of the process. --model is there for people who look at a process list;
// what to compute comes over descriptor 3.
int worker_main(int argc, char** argv, std::string_view device_kind, MakeWorker make);

// READY, with the name of the kernels in use.
Result<void> say_ready(shm::ChildLink& link, std::string_view kernel_isa);

// Runs the loop until it ends; SIGTERM, from an operator or because the supervisor died
// (lifecycle/spawn.h), lets it finish what is there. `later`: what take_setup() left.
ExitCode run_loop(StepLoop& loop, std::vector<shm::Message> later);

}  // namespace bitnetd::worker
