// How a child ended, and whose doing it was.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shm/abi/control_abi.h"
#include "supervisor/lifecycle/process/restart_policy.h"

namespace bitnetd::supervisor {

struct ChildExit {
    int signal = 0;  // 0: it exited by itself
    int status = 0;  // exit code when signal is 0
    // It ended, and only its parent learns how: adopted from a supervisor that died. The others are
    // 0 then.
    bool unknown = false;
};

// How the process of a pidfd ended, if it has; reaps it when it is our child. Never blocks.
std::optional<ChildExit> reap(int pidfd);

// Ends it by SIGKILL and returns when it is gone.
void kill_and_reap(int pidfd);

// What the supervisor knew when the child ended.
struct ExitContext {
    const char* fault = nullptr;  // ChildLife::fault()
    bool told_to_end = false;     // drained or dismissed by us
    bool oom_killed = false;      // the cgroup's oom_kill counter rose
};

struct Verdict {
    Blame blame;
    shm::PeerEnd end;
    std::string reason;  // "signal 11 (SIGSEGV)", "exit 5", "hang"
};

// A SIGKILL from outside is nobody's fault; one by the kernel for want of memory is the child's.
// Of an unknown end the child has the benefit of the doubt: it was clean if it was asked for.
Verdict judge(const ChildExit& exit, const ExitContext& context);

// Reads the oom_kill counter of our cgroup (v2); children live in the same one.
class OomCounter {
  public:
    OomCounter();
    // True when the counter rose since the last call.
    bool rose();

  private:
    std::string path_;  // empty: no such file here
    uint64_t last_ = 0;
};

}  // namespace bitnetd::supervisor
