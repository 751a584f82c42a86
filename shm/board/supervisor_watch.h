// Whether the supervisor still lives, as a child sees it: by the heartbeat on its board. Where
// systemd keeps our end of its control socket, its death closes nothing, and a successor usually
// beats on the same board soon. Worker and frontend, one thread.
#pragma once

#include <cstdint>
#include <optional>

#include "common/base/result.h"
#include "shm/board/board.h"
#include "shm/segment/segment.h"

namespace bitnetd::shm {

class SupervisorWatch {
  public:
    explicit SupervisorWatch(uint64_t timeout_ns) : timeout_ns_(timeout_ns) {}

    // The supervisor's board, read-only; the descriptor stays the caller's.
    Result<void> watch(int board_fd);

    // No heartbeat for the time-out. To be asked regularly: after a pause of our own (SIGSTOP, a
    // paused VM) the supervisor gets the whole time again, since it was paused as well.
    bool is_gone(uint64_t now_ns);

  private:
    const uint64_t timeout_ns_;
    Segment segment_;
    std::optional<BoardView> board_;
    uint64_t asked_ns_ = 0;
    uint64_t fresh_since_ns_ = 0;  // no silence before this counts
};

}  // namespace bitnetd::shm
