// What a supervisor's successor needs to know to take over: the content of the state table, as JSON
// text. Descriptors appear by the names under which they are handed over (fd_name.h); a name that
// is empty says that there is none.
//
// A field is one member here and one line in snapshot.cc, which writes and reads it. Any change of
// either raises kSnapshotVersion. The text names handover_version(): nothing is guessed about the
// state of another one, whose processes speak otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/board_abi.h"
#include "shm/abi/rollout_abi.h"
#include "supervisor/lifecycle/process/process.h"

namespace bitnetd::supervisor {

inline constexpr uint32_t kSnapshotVersion = 3;

struct ListenerSnapshot {
    uint32_t number = 0;
    std::string asked;      // as configured
    std::string address;    // as bound
    std::string unix_path;  // empty: TCP
    std::string fd;
};

struct ControlSnapshot {
    std::string path;
    std::string fd;
};

struct ModelSnapshot {
    uint64_t key = 0;
    std::string id;    // what clients call it
    std::string path;  // as configured
    int64_t loaded_unix_s = 0;
    bool is_default = false;
    shm::ModelStanding standing = shm::ModelStanding::kServing;
    shm::ModelFacts facts{};
    std::string weights_fd;
    std::string vocabulary_fd;
};

// A place in the fleet. How often its processes died before is not handed over: a fresh record.
struct SlotSnapshot {
    shm::Role role = shm::Role::kWorker;
    uint32_t index = 0;  // its position among its role
    std::string name;    // "worker/0"; unique
    SlotUse use = SlotUse::kVacant;
    std::string last_board_fd;  // of the last process, where none took its counters over yet
    // Of a worker's:
    uint64_t model_key = 0;
    std::string device;  // "cpu:0"
    CoreShare cores;
    bool is_canary = false;
    uint64_t kv_bytes = 0;
    std::string kv_arena_fd;
};

struct ProcessSnapshot {
    std::string slot;  // its slot's name
    uint64_t incarnation = 0;
    int32_t pid = 0;
    uint64_t start_ticks = 0;  // same_process.h
    shm::Role role = shm::Role::kWorker;
    ChildPhase phase = ChildPhase::kStarting;
    uint64_t started_ns = 0;            // monotonic, which a restart does not change
    uint64_t deadline_ns = UINT64_MAX;  // of the phase; UINT64_MAX: none
    std::string pidfd;
    std::string control_fd;
    std::string board_fd;
    std::string doorbell_fd;
    // Of a worker:
    uint64_t model_key = 0;
    std::string device;
    std::string kernel_isa;  // once ready
    uint32_t slots_max = 0;  // once ready
    bool is_canary = false;
};

struct RingPairSnapshot {
    uint64_t frontend = 0;  // incarnation
    uint64_t worker = 0;    // incarnation
    std::string name;       // "frontend/0 -> worker/1"
    uint32_t credits = 0;
    std::string requests_fd;
    std::string tokens_fd;
};

// The one under way.
struct RolloutSnapshot {
    shm::RolloutMessage message{};
};

struct SupervisorSnapshot {
    std::string build;       // BITNETD_VERSION of the writer, for the log
    std::string executable;  // the path recorded at start
    std::vector<std::string> args;
    std::string settings;  // print_settings() of what it went by
    uint64_t started_ns = 0;
    bool was_ready = false;  // it has served
    uint64_t own_incarnation = 1;
    std::string own_board_fd;
    uint64_t next_incarnation = 1;
    uint64_t next_model_key = 1;
    uint64_t next_rollout = 1;
    std::vector<ListenerSnapshot> listeners;
    std::optional<ControlSnapshot> control;
    std::vector<ModelSnapshot> models;
    std::vector<SlotSnapshot> slots;
    std::vector<ProcessSnapshot> processes;
    std::vector<RingPairSnapshot> rings;
    std::optional<RolloutSnapshot> rollout;
};

std::string to_text(const SupervisorSnapshot& snapshot);

// kUnsupported: of another version. kInvalid: not what to_text() writes, with the field's name, or
// not consistent (a process without a slot, a slot out of its order, a number that will be given
// again, a descriptor's name that is none). No text, however hostile, does more than that. At most
// kStateTextBytesMax bytes.
Result<SupervisorSnapshot> parse_snapshot(std::string_view text);

}  // namespace bitnetd::supervisor
