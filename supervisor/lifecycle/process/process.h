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
#include "supervisor/lifecycle/process/build.h"
#include "supervisor/lifecycle/process/child.h"
#include "supervisor/lifecycle/process/core_share.h"
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
    // One that exists already.
    static Result<BoardHold> open(Fd fd);
};

struct Process {
    shm::Role role{};
    uint32_t slot = 0;
    uint64_t incarnation = 0;
    uint64_t model_key = 0;  // of a worker
    std::string device;      // of a worker
    std::string kernel_isa;  // of a worker, once ready
    uint32_t slots_max = 0;  // of a worker, once ready
    bool is_canary = false;  // of a worker: its peers were told so
    bool ready = false;      // said READY: its peers know it
    bool fenced = false;     // its peers were told that it is gone
    BoardHold board;
    Fd doorbell;
    std::unique_ptr<Child> child;

    bool is_draining() const { return child->life().phase() == ChildPhase::kDraining; }
};

inline constexpr uint64_t kNever = UINT64_MAX;

// What a slot's processes are there for. Only those that serve get successors without being asked;
// a vacant slot keeps its number and its counters for the next use.
enum class SlotUse : uint8_t { kVacant, kServing, kRetiring };

struct Slot {
    Slot(shm::Role role_, uint32_t index_, const RestartLimits& limits, uint64_t seed)
        : role(role_),
          index(index_),
          name(std::string(shm::to_string(role_)) + "/" + std::to_string(index_)),
          restarts(limits, seed) {}

    const shm::Role role;
    const uint32_t index;
    const std::string name;
    SlotUse use = SlotUse::kVacant;
    std::shared_ptr<const Build> build;  // of its next process
    RestartPolicy restarts;
    std::unique_ptr<Process> process;  // null: none now
    uint64_t start_at_ns = kNever;     // when to start the next one
    bool recovering = false;           // died, and the next one is not ready yet
    bool breaker_open = false;
    uint32_t deaths = 0;                  // of its own doing, while it serves
    std::string last_end;                 // why the last one died
    std::optional<BoardHold> last_board;  // of the last one, until the next takes its counters over

    // Workers only.
    uint64_t model_key = 0;
    std::string device;      // "cpu:0"
    CoreShare cores;         // of a CPU worker
    bool is_canary = false;  // its next process is introduced as one
    Fd kv_arena;             // goes to the next incarnation, as garbage
    uint64_t kv_bytes = 0;

    bool serves() const { return use == SlotUse::kServing; }
};

}  // namespace bitnetd::supervisor
