// The life of one process as the supervisor sees it: which phase it is in, what its deadline is and
// which signal is due. Pure: no clock, no process.
//
//   starting --ready--> ready --drain--> draining --> (exit)
//      |                  |                 |
//      +-- too late ------+-- hang, lie ----+-- too late --> aborting --> killing --> (exit)
#pragma once

#include <csignal>
#include <cstdint>

namespace bitnetd::supervisor {

enum class ChildPhase : uint8_t { kStarting, kReady, kDraining, kAborting, kKilling };

struct LifeLimits {
    uint64_t start_ns = 0;  // from start to READY
    uint64_t grace_ns = 0;  // from SIGABRT, or from closing its control socket, to SIGKILL
};

class ChildLife {
  public:
    ChildLife(const LifeLimits& limits, uint64_t now_ns);
    // Of a process that a predecessor watched until now: its phase, when it was started, and until
    // when it may drain. One that starts has all its time again; one that was given up is killed.
    ChildLife(const LifeLimits& limits, uint64_t now_ns, ChildPhase phase, uint64_t started_ns,
              uint64_t deadline_ns);

    ChildPhase phase() const { return phase_; }
    uint64_t started_ns() const { return started_ns_; }
    // Some condemn() was called, or the deadline of a phase passed: whatever its exit status says,
    // the death is the child's own doing. Null when it was not.
    const char* fault() const { return fault_; }

    // The child said READY. False when it had no business to: the message is a protocol error.
    bool on_ready();
    // Told to finish; at deadline_ns it is killed, which is not its fault.
    void on_drain(uint64_t deadline_ns);
    // It closed its control socket. A dying process does, and its exit follows at once; one that
    // lives on can no longer be told anything and is killed after the grace.
    void on_channel_closed(uint64_t now_ns);
    // The supervisor gives it up: SIGABRT first (a core shows where it hangs), SIGKILL later.
    void condemn_hung(uint64_t now_ns);
    // The supervisor gives it up at once: nothing it says can be trusted. `fault` is a literal.
    void condemn(const char* fault);
    // Killed for the supervisor's own reasons.
    void dismiss();

    // The signal to send now, once each; 0 when there is none. Call at least at deadline_ns().
    int due_signal(uint64_t now_ns);
    uint64_t deadline_ns() const { return deadline_ns_; }  // UINT64_MAX: none

  private:
    void kill_next();

    LifeLimits limits_;
    ChildPhase phase_ = ChildPhase::kStarting;
    uint64_t started_ns_;
    uint64_t deadline_ns_;
    int pending_signal_ = 0;
    bool mute_ = false;  // the control socket is closed
    const char* fault_ = nullptr;
};

}  // namespace bitnetd::supervisor
