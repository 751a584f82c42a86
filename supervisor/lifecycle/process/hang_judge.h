// Says whether a process hangs, from the times on its board. Pure: the caller reads the board.
// After a pause of the supervisor itself (SIGSTOP, a paused VM) everyone gets a fresh interval,
// since then old times prove nothing.
#pragma once

#include <cstdint>

namespace bitnetd::supervisor {

class HangJudge {
  public:
    // Once per tick, before any question. tick_ns: after what time it was due.
    void on_tick(uint64_t now_ns, uint64_t tick_ns);

    // since_ns: the last heartbeat; 0 = there is none, so nothing hangs.
    // A time in the future (a lying or torn board) is no proof either.
    bool hangs(uint64_t since_ns, uint64_t limit_ns) const;

  private:
    uint64_t now_ns_ = 0;
    uint64_t fresh_since_ns_ = 0;  // nothing older than this is held against anyone
};

}  // namespace bitnetd::supervisor
