// Asks a new binary whether it can take over: runs `PATH --check-handover VERSION`, which answers
// by its exit code and a line on standard error (handover_version.h). Never blocks the loop.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/lifecycle/process/child_exit.h"
#include "supervisor/lifecycle/uv_handles.h"

namespace bitnetd::supervisor {

inline constexpr uint64_t kHandoverCheckMs = 2000;

class HandoverCheck {
  public:
    // Called once, from the loop; may destroy the HandoverCheck. An error is the refusal, with the
    // new binary's reason (kUnsupported), or that it did not answer in time (kUnavailable).
    using Done = std::function<void(const Result<void>&)>;

    // An error when `path` cannot be run: `done` is not called then.
    static Result<std::unique_ptr<HandoverCheck>> start(uv_loop_t* loop, const std::string& path,
                                                        uint64_t deadline_ms, Done done);
    HandoverCheck(const HandoverCheck&) = delete;
    HandoverCheck& operator=(const HandoverCheck&) = delete;
    ~HandoverCheck();  // ends the process where it still runs

  private:
    HandoverCheck(std::string path, Done done) : path_(std::move(path)), done_(std::move(done)) {}
    Result<void> run(uv_loop_t* loop, uint64_t deadline_ms);
    void on_exit();
    void on_deadline(uint64_t deadline_ms);
    Result<void> verdict(const ChildExit& exit) const;
    void finish(const Result<void>& result);
    void end_process();

    std::string path_;
    Done done_;
    Fd pidfd_;  // empty: no process
    Fd words_;  // its standard error
    std::unique_ptr<Poller> exit_poller_;
    std::unique_ptr<Timer> deadline_timer_;
};

}  // namespace bitnetd::supervisor
