// The board: one segment per process incarnation, written by that process, read by all others. It
// carries who it is, how it is, its doorbell's sleeping word, its counters and, for a worker, what
// it can take and what it is working on. It outlives its process: the supervisor keeps it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "common/metrics/metrics.h"

namespace bitnetd::shm {

// Bump when a field moves, changes width or meaning, or a row of metrics.def comes, goes or moves.
inline constexpr uint32_t kBoardAbiVersion = 4;

enum class Role : uint32_t { kSupervisor = 1, kFrontend = 2, kWorker = 3 };

enum class ProcessState : uint32_t {
    kStarting = 0,
    kReady = 1,
    kDraining = 2,  // finishes what it has, takes nothing new
    kStopped = 3,   // ended as told
    kDead = 4,      // ended otherwise; written by the supervisor after the process is gone
};

struct HistogramCells {
    std::atomic<uint64_t> buckets[kHistogramBuckets];  // not cumulative
    std::atomic<uint64_t> sum_ns;
};

// A flight named from outside its frontend.
struct FlightName {
    std::atomic<uint64_t> frontend_incarnation;
    std::atomic<uint64_t> flight;
};

inline constexpr size_t kStepPlanMax = 512;
inline constexpr size_t kLastWordsBytes = 512;

// Written by the worker; zero on other boards.
struct WorkerCells {
    std::atomic<uint32_t> slots_max;  // sequences it takes at once, over all frontends
    std::atomic<uint32_t> slots_used;
    std::atomic<uint32_t> context_max;       // tokens of one sequence
    std::atomic<uint32_t> page_tokens;       // positions per KV page
    std::atomic<uint64_t> decode_ns;         // of a decode step with one row, measured; 0 = not yet
    std::atomic<uint64_t> prefill_token_ns;  // per prompt token, measured; 0 = not yet
    std::atomic<uint64_t> steps_begun;       // step_begun_ns and step_plan belong to this step
    std::atomic<uint64_t> step_begun_ns;     // monotonic; 0 between steps. Too old = hang
    std::atomic<uint32_t> step_plan_count;   // entries of step_plan in use, <= kStepPlanMax
    uint32_t reserved;
    FlightName step_plan[kStepPlanMax];  // flights of the current step
};

// Offset 0 of every board segment.
//   0: identity, written once by the supervisor   64: the process writes
struct Board {
    std::atomic<uint32_t> abi_version;  // stored last: SYNC(board.ready)
    Role role;
    uint32_t slot;  // index among its role, kept by the next incarnation
    uint32_t reserved0;
    uint64_t incarnation;  // never reused while the supervisor lives
    char device[16];       // "cpu:0"; empty for others
    uint8_t reserved1[24];

    alignas(64) std::atomic<uint32_t> sleeping;  // 1: it may be in poll(); ring its doorbell
    uint32_t reserved2[15];

    alignas(64) std::atomic<uint32_t> pid;
    std::atomic<ProcessState> state;
    std::atomic<uint64_t> heartbeat_ns;  // monotonic; at least every heartbeat_interval_ms
    std::atomic<uint64_t> started_ns;
    std::atomic<uint64_t> ready_ns;
    char last_words[kLastWordsBytes];  // text of a failed check; see base/check.h

    alignas(64) std::atomic<uint64_t> counters[kCounterCount];
    std::atomic<uint64_t> gauges[kGaugeCount];
    HistogramCells histograms[kHistogramCount];

    alignas(64) WorkerCells worker;
};
static_assert(offsetof(Board, sleeping) == 64 && offsetof(Board, pid) == 128);
static_assert(std::is_standard_layout_v<Board>);
static_assert(std::atomic<ProcessState>::is_always_lock_free);

}  // namespace bitnetd::shm
