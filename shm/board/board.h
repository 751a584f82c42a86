// Boards: what a process tells all others about itself. One segment per process incarnation; that
// process writes it, everyone else has it read-only. Layout: shm/abi/board_abi.h.
//
// The supervisor makes a board before it starts the process and keeps it afterwards, so that
// counters and last words survive a crash; carry_over() starts the next incarnation's counters
// where the last one's ended. A reader treats all of it as hostile: any value may be anything.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/metrics/metrics.h"
#include "shm/abi/board_abi.h"
#include "shm/board/process_usage.h"
#include "shm/segment/segment.h"

namespace bitnetd::shm {

constexpr uint64_t board_segment_bytes() {
    return (sizeof(Board) + 4095) / 4096 * 4096;
}

struct BoardIdentity {
    Role role = Role::kSupervisor;
    uint32_t slot = 0;
    uint64_t incarnation = 0;
    std::string_view device;  // "cpu:0", at most 15 bytes; empty for others
};

// Makes a board of a new, zeroed segment. Supervisor only, before its descriptor is passed on.
Result<void> init_board(std::span<std::byte> memory, const BoardIdentity& identity);
Result<void> init_board(Segment& segment, const BoardIdentity& identity);

// Whether `memory` holds a board of this build's ABI. open() of both ends asks this first.
Result<void> check_board(std::span<const std::byte> memory);

// memfd, size seal, init_board: everything the supervisor does to have a new board. Read-write
// descriptor; give others reopen_read_only() of it.
Result<Fd> create_board(const BoardIdentity& identity);

struct StepFlight {
    uint64_t frontend_incarnation;
    uint64_t flight;
};

// The writing process's end. One thread only: counters are plain loads and stores, not locked
// additions. (The supervisor also opens one on a dead child's board, to write kDead and carry
// over.)
class BoardWriter {
  public:
    static Result<BoardWriter> open(Segment& segment);
    static Result<BoardWriter> open(std::span<std::byte> memory);

    void count(Counter counter, uint64_t by = 1) noexcept;
    void set_gauge(Gauge gauge, uint64_t value) noexcept;
    void record_ns(Histogram histogram, uint64_t value_ns) noexcept;

    void set_pid(uint32_t pid) noexcept;
    void set_started(uint64_t now_ns) noexcept;
    // kReady also notes ready_ns, the first time.
    void set_state(ProcessState state, uint64_t now_ns) noexcept;
    void heartbeat(uint64_t now_ns) noexcept;
    // From now on a heartbeat also tells, once a second, what the process uses: two system calls.
    void show_usage(ProcessUsage usage) noexcept { usage_ = std::move(usage); }

    // Worker only.
    void set_worker_limits(uint32_t slots_max, uint32_t context_max, uint32_t page_tokens) noexcept;
    void set_slots_used(uint32_t slots) noexcept;
    void set_worker_rates(uint64_t decode_ns, uint64_t prefill_token_ns) noexcept;

    // Worker only: notes which flights the coming step works on (at most kStepPlanMax; more are
    // left out), so that a death in it is laid at their door and no other's. CRASH(board.planned):
    // until step_begun_ns is stored there is no step, and nobody is blamed.
    void begin_step(std::span<const StepFlight> flights, uint64_t now_ns) noexcept;
    void end_step() noexcept;

    // Failed checks of this process write their text here from now on (base/check.h).
    void use_for_last_words() noexcept;

    // The word for Doorbell::for_consumer().
    std::atomic<uint32_t>& sleeping() noexcept { return board_->sleeping; }

  private:
    friend void carry_over(const class BoardView& old, BoardWriter& fresh) noexcept;
    explicit BoardWriter(Board& board) noexcept : board_(&board) {}

    void tell_usage() noexcept;

    Board* board_;
    ProcessUsage usage_;
    uint64_t usage_told_ns_ = 0;
    uint64_t cpu_told_ns_ = 0;
};

struct HistogramSnapshot {
    std::array<uint64_t, kHistogramBuckets> buckets{};  // not cumulative
    uint64_t sum_ns = 0;
    uint64_t count = 0;  // sum of the buckets
};

struct WorkerSnapshot {
    uint32_t slots_max = 0;
    uint32_t slots_used = 0;
    uint32_t context_max = 0;
    uint32_t page_tokens = 0;
    uint64_t decode_ns = 0;         // 0: not measured yet
    uint64_t prefill_token_ns = 0;  // 0: not measured yet
    uint64_t steps_begun = 0;
    uint64_t step_begun_ns = 0;  // 0: between steps
};

// Everyone else's end: copies out, never points in.
class BoardView {
  public:
    // The memory must stay mapped for as long as the view is used; moving its Segment is fine.
    // kInvalid when it is not a board of this build's ABI.
    static Result<BoardView> open(const Segment& segment);
    static Result<BoardView> open(std::span<const std::byte> memory);

    // As read when the view was opened.
    Role role() const noexcept { return role_; }
    uint32_t slot() const noexcept { return slot_; }
    uint64_t incarnation() const noexcept { return incarnation_; }
    const std::string& device() const noexcept { return device_; }

    uint32_t pid() const noexcept;
    ProcessState state() const noexcept;  // a value outside the table reads as kDead
    uint64_t heartbeat_ns() const noexcept;
    uint64_t started_ns() const noexcept;
    uint64_t ready_ns() const noexcept;  // 0: never
    std::string last_words() const;      // printable; empty when there are none

    uint64_t counter(Counter counter) const noexcept;
    uint64_t gauge(Gauge gauge) const noexcept;
    HistogramSnapshot histogram(Histogram histogram) const noexcept;

    WorkerSnapshot worker() const noexcept;
    // The flights of the step in progress, empty between steps. Of a live worker: nothing when it
    // went from step to step under our eyes for a while (then it is not hung).
    std::optional<std::vector<StepFlight>> step_plan() const;

    // The word for Doorbell::for_producer().
    const std::atomic<uint32_t>& sleeping() const noexcept { return board_->sleeping; }

  private:
    explicit BoardView(const Board& board) noexcept : board_(&board) {}

    const Board* board_;
    Role role_ = Role::kSupervisor;
    uint32_t slot_ = 0;
    uint64_t incarnation_ = 0;
    std::string device_;
};

// Adds the old board's counters and histograms to the fresh one's, before its process starts: what
// /metrics shows never goes back. Gauges are the moment's and start at zero.
void carry_over(const BoardView& old, BoardWriter& fresh) noexcept;

std::string_view to_string(Role role) noexcept;
std::string_view to_string(ProcessState state) noexcept;

}  // namespace bitnetd::shm
