// The child table's rows. A Slot is a place in the fleet ("worker/0"): it outlives its processes
// and keeps what the next one takes over. A Process is one incarnation in it, with the shared
// memory that was made for it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/fd.h"
#include "shm/board/board.h"
#include "shm/segment/segment.h"
#include "supervisor/lifecycle/process/child.h"
#include "supervisor/lifecycle/process/restart_policy.h"

namespace bitnetd::supervisor {

// A board, as the supervisor holds it: it made it, reads it, and writes it before its process
// starts and after that is gone.
struct BoardHold {
    Fd fd;  // read-write: for its process alone
    Fd read_only;
    shm::Segment segment;
    std::optional<shm::BoardWriter> writer;
    std::optional<shm::BoardView> view;

    // `previous`: the board whose counters it continues, or null.
    static Result<BoardHold> make(const shm::BoardIdentity& identity, const BoardHold* previous);
};

struct Process {
    shm::Role role{};
    uint32_t slot = 0;
    uint64_t incarnation = 0;
    uint64_t model_key = 0;  // of a worker
    std::string device;      // of a worker
    uint32_t slots_max = 0;  // of a worker, once ready
    bool ready = false;      // said READY: its peers know it
    bool fenced = false;     // its peers were told that it is gone
    BoardHold board;
    Fd doorbell;
    std::unique_ptr<Child> child;
};

inline constexpr uint64_t kNever = UINT64_MAX;

struct Slot {
    Slot(shm::Role role_, uint32_t index_, const RestartLimits& limits, uint64_t seed)
        : role(role_),
          index(index_),
          name(std::string(shm::to_string(role_)) + "/" + std::to_string(index_)),
          restarts(limits, seed) {}

    const shm::Role role;
    const uint32_t index;
    const std::string name;
    RestartPolicy restarts;
    std::unique_ptr<Process> process;  // null: none now
    uint64_t start_at_ns = kNever;     // when to start the next one
    bool recovering = false;           // died, and the next one is not ready yet
    bool breaker_open = false;
    std::string last_end;                 // why the last one died
    std::optional<BoardHold> last_board;  // of the last one, until the next takes its counters over

    // Workers only.
    size_t model_index = 0;
    Fd kv_arena;  // goes to the next incarnation, as garbage
    uint64_t kv_bytes = 0;
};

}  // namespace bitnetd::supervisor
