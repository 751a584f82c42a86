// The end of the board's own process. Cells are single-writer: a relaxed load, an addition and a
// relaxed store are enough, and no bus is locked for a counter.
#include <algorithm>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/crash_point.h"
#include "shm/board/board.h"

namespace bitnetd::shm {
namespace {

constexpr uint64_t kUsageIntervalNs = kNsPerS;

void add(std::atomic<uint64_t>& cell, uint64_t by) noexcept {
    cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

Result<BoardWriter> BoardWriter::open(Segment& segment) {
    return open(segment.mutable_view());
}

Result<BoardWriter> BoardWriter::open(std::span<std::byte> memory) {
    BITNETD_TRY(check_board(memory));
    return BoardWriter(*reinterpret_cast<Board*>(memory.data()));
}

void BoardWriter::count(Counter counter, uint64_t by) noexcept {
    add(board_->counters[static_cast<size_t>(counter)], by);
}

void BoardWriter::set_gauge(Gauge gauge, uint64_t value) noexcept {
    board_->gauges[static_cast<size_t>(gauge)].store(value, std::memory_order_relaxed);
}

void BoardWriter::record_ns(Histogram histogram, uint64_t value_ns) noexcept {
    HistogramCells& cells = board_->histograms[static_cast<size_t>(histogram)];
    add(cells.buckets[histogram_bucket(value_ns)], 1);
    add(cells.sum_ns, value_ns);
}

void BoardWriter::set_pid(uint32_t pid) noexcept {
    board_->pid.store(pid, std::memory_order_relaxed);
}

void BoardWriter::set_started(uint64_t now_ns) noexcept {
    board_->started_ns.store(now_ns, std::memory_order_relaxed);
}

void BoardWriter::set_state(ProcessState state, uint64_t now_ns) noexcept {
    if (state == ProcessState::kReady && board_->ready_ns.load(std::memory_order_relaxed) == 0) {
        board_->ready_ns.store(now_ns, std::memory_order_relaxed);
    }
    // SYNC(board.state): pairs with the acquire in BoardView::state(). Who sees kReady sees the
    // limits and rates that were set before it.
    board_->state.store(state, std::memory_order_release);
}

void BoardWriter::heartbeat(uint64_t now_ns) noexcept {
    board_->heartbeat_ns.store(now_ns, std::memory_order_relaxed);
    if (usage_ && now_ns >= usage_told_ns_ + kUsageIntervalNs) {
        usage_told_ns_ = now_ns;
        tell_usage();
    }
}

void BoardWriter::tell_usage() noexcept {
    const uint64_t cpu_ns = ProcessUsage::cpu_ns();
    count(Counter::kCpuNs, cpu_ns - cpu_told_ns_);
    cpu_told_ns_ = cpu_ns;
    set_gauge(Gauge::kResidentBytes, usage_.resident_bytes());
}

void BoardWriter::set_worker_limits(uint32_t slots_max, uint32_t context_max,
                                    uint32_t page_tokens) noexcept {
    board_->worker.slots_max.store(slots_max, std::memory_order_relaxed);
    board_->worker.context_max.store(context_max, std::memory_order_relaxed);
    board_->worker.page_tokens.store(page_tokens, std::memory_order_relaxed);
}

void BoardWriter::set_slots_used(uint32_t slots) noexcept {
    board_->worker.slots_used.store(slots, std::memory_order_relaxed);
}

void BoardWriter::set_worker_rates(uint64_t decode_ns, uint64_t prefill_token_ns) noexcept {
    board_->worker.decode_ns.store(decode_ns, std::memory_order_relaxed);
    board_->worker.prefill_token_ns.store(prefill_token_ns, std::memory_order_relaxed);
}

// Written so that a reader can tell a whole plan from a mixed one (BoardView::step_plan()): the
// step's number first, its flights, and last of all the time at which it began.
void BoardWriter::begin_step(std::span<const StepFlight> flights, uint64_t now_ns) noexcept {
    BITNETD_DCHECK(now_ns != 0);
    WorkerCells& worker = board_->worker;
    const size_t count = std::min(flights.size(), kStepPlanMax);
    worker.steps_begun.store(worker.steps_begun.load(std::memory_order_relaxed) + 1,
                             std::memory_order_release);
    for (size_t i = 0; i < count; ++i) {
        // SYNC(board.plan): pairs with the acquires in step_plan(). Who sees a flight of this step
        // sees its number as well, and knows that an older plan is gone.
        worker.step_plan[i].frontend_incarnation.store(flights[i].frontend_incarnation,
                                                       std::memory_order_release);
        worker.step_plan[i].flight.store(flights[i].flight, std::memory_order_release);
    }
    worker.step_plan_count.store(static_cast<uint32_t>(count), std::memory_order_release);
    // CRASH(board.planned): step_begun_ns is still 0, so nobody is blamed for this death.
    BITNETD_CRASH(board.planned);
    // SYNC(board.step): pairs with the acquire in step_plan(): who sees the step begun sees all of
    // its plan.
    worker.step_begun_ns.store(now_ns, std::memory_order_release);
    BITNETD_CRASH(board.begun);  // CRASH(board.begun): the flights of the plan are blamed.
}

void BoardWriter::end_step() noexcept {
    board_->worker.step_begun_ns.store(0, std::memory_order_release);
}

void BoardWriter::use_for_last_words() noexcept {
    set_last_words(board_->last_words, sizeof board_->last_words);
}

void carry_over(const BoardView& old, BoardWriter& fresh) noexcept {
    for (size_t i = 0; i < kCounterCount; ++i) {
        add(fresh.board_->counters[i], old.counter(static_cast<Counter>(i)));
    }
    for (size_t i = 0; i < kHistogramCount; ++i) {
        const HistogramSnapshot from = old.histogram(static_cast<Histogram>(i));
        HistogramCells& to = fresh.board_->histograms[i];
        for (size_t k = 0; k < kHistogramBuckets; ++k)
            add(to.buckets[k], from.buckets[k]);
        add(to.sum_ns, from.sum_ns);
    }
}

}  // namespace bitnetd::shm
