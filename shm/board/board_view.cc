// Everyone else's end of a board. Its process may be old, dying or hostile: values are copied out,
// counts clamped, enums and texts checked.
#include <algorithm>

#include "common/base/bytes.h"
#include "shm/board/board.h"
#include "shm/control/text_field.h"

namespace bitnetd::shm {
namespace {

template <typename T>
T relaxed(const std::atomic<T>& cell) noexcept {
    return cell.load(std::memory_order_relaxed);
}

}  // namespace

Result<BoardView> BoardView::open(const Segment& segment) {
    return open(segment.view());
}

Result<BoardView> BoardView::open(std::span<const std::byte> memory) {
    BITNETD_TRY(check_board(memory));
    const auto& board = *reinterpret_cast<const Board*>(memory.data());
    BoardView view(board);
    const auto role = load<uint32_t>(&board.role);
    if (role < static_cast<uint32_t>(Role::kSupervisor) ||
        role > static_cast<uint32_t>(Role::kWorker)) {
        return invalid("board: role " + std::to_string(role) + " is unknown");
    }
    view.role_ = static_cast<Role>(role);
    view.slot_ = load<uint32_t>(&board.slot);
    view.incarnation_ = load<uint64_t>(&board.incarnation);
    char device[sizeof board.device];
    std::memcpy(device, board.device, sizeof device);
    view.device_ = printable(field_text(device));
    return view;
}

uint32_t BoardView::pid() const noexcept {
    return relaxed(board_->pid);
}

ProcessState BoardView::state() const noexcept {
    // SYNC(board.state): pairs with the release in BoardWriter::set_state().
    const ProcessState state = board_->state.load(std::memory_order_acquire);
    return static_cast<uint32_t>(state) <= static_cast<uint32_t>(ProcessState::kDead)
               ? state
               : ProcessState::kDead;
}

uint64_t BoardView::heartbeat_ns() const noexcept {
    return relaxed(board_->heartbeat_ns);
}
uint64_t BoardView::started_ns() const noexcept {
    return relaxed(board_->started_ns);
}
uint64_t BoardView::ready_ns() const noexcept {
    return relaxed(board_->ready_ns);
}

std::string BoardView::last_words() const {
    char text[kLastWordsBytes];
    std::memcpy(text, board_->last_words, sizeof text);
    return printable(field_text(text));
}

uint64_t BoardView::counter(Counter counter) const noexcept {
    return relaxed(board_->counters[static_cast<size_t>(counter)]);
}

uint64_t BoardView::gauge(Gauge gauge) const noexcept {
    return relaxed(board_->gauges[static_cast<size_t>(gauge)]);
}

HistogramSnapshot BoardView::histogram(Histogram histogram) const noexcept {
    const HistogramCells& cells = board_->histograms[static_cast<size_t>(histogram)];
    HistogramSnapshot snapshot;
    for (size_t i = 0; i < kHistogramBuckets; ++i) {
        snapshot.buckets[i] = relaxed(cells.buckets[i]);
        snapshot.count += snapshot.buckets[i];
    }
    snapshot.sum_ns = relaxed(cells.sum_ns);
    return snapshot;
}

WorkerSnapshot BoardView::worker() const noexcept {
    const WorkerCells& cells = board_->worker;
    WorkerSnapshot snapshot;
    snapshot.slots_max = relaxed(cells.slots_max);
    snapshot.slots_used = relaxed(cells.slots_used);
    snapshot.context_max = relaxed(cells.context_max);
    snapshot.page_tokens = relaxed(cells.page_tokens);
    snapshot.decode_ns = relaxed(cells.decode_ns);
    snapshot.prefill_token_ns = relaxed(cells.prefill_token_ns);
    snapshot.steps_begun = relaxed(cells.steps_begun);
    snapshot.step_begun_ns = cells.step_begun_ns.load(std::memory_order_acquire);
    return snapshot;
}

std::optional<std::vector<StepFlight>> BoardView::step_plan() const {
    const WorkerCells& cells = board_->worker;
    constexpr int kTries = 8;  // a worker that begins eight steps while we look is not hung
    for (int i = 0; i < kTries; ++i) {
        const uint64_t step = cells.steps_begun.load(std::memory_order_acquire);
        // SYNC(board.step): pairs with the release in BoardWriter::begin_step().
        if (cells.step_begun_ns.load(std::memory_order_acquire) == 0)
            return std::vector<StepFlight>{};
        const size_t count =
            std::min<size_t>(cells.step_plan_count.load(std::memory_order_acquire), kStepPlanMax);
        std::vector<StepFlight> plan(count);
        for (size_t k = 0; k < count; ++k) {
            // SYNC(board.plan): pairs with the releases in BoardWriter::begin_step().
            plan[k] = {cells.step_plan[k].frontend_incarnation.load(std::memory_order_acquire),
                       cells.step_plan[k].flight.load(std::memory_order_acquire)};
        }
        if (relaxed(cells.steps_begun) == step) return plan;
    }
    return std::nullopt;
}

}  // namespace bitnetd::shm
