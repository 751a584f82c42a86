// Where work goes that would stall the loop: libuv's pool in production, at once in tests.
#pragma once

#include <functional>

namespace bitnetd::frontend {

class TaskRunner {
  public:
    virtual ~TaskRunner() = default;
    // `work` on a pool thread, then `done` on the loop thread. Neither may throw.
    virtual void run(std::function<void()> work, std::function<void()> done) = 0;
};

}  // namespace bitnetd::frontend
