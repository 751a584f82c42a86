// TaskRunner over libuv's thread pool. The pool is started before the process confines itself, so
// that no thread has to be made afterwards.
#pragma once

#include <uv.h>

#include "common/base/result.h"
#include "supervisor/frontend/api/task_runner.h"

namespace bitnetd::frontend {

class UvTaskRunner final : public TaskRunner {
  public:
    explicit UvTaskRunner(uv_loop_t* loop) : loop_(loop) {}

    // Makes all pool threads. Runs the loop until they are there: call it before anything else is
    // on the loop.
    Result<void> start_threads();

    void run(std::function<void()> work, std::function<void()> done) override;

  private:
    uv_loop_t* loop_;
};

}  // namespace bitnetd::frontend
