#include "supervisor/frontend/api/step_meter.h"

namespace bitnetd::frontend {

StepMeter::StepMeter(const BoardSet& boards) : boards_(boards) {
    boards.for_each([this](const shm::BoardView& board) {
        if (board.role() == shm::Role::kWorker) begun_[board.incarnation()] = count_of(board);
    });
}

StepMeter::Count StepMeter::count_of(const shm::BoardView& board) {
    return {board.counter(Counter::kSteps), board.counter(Counter::kStepRows)};
}

std::optional<double> StepMeter::mean_rows(uint64_t worker) const {
    const shm::BoardView* board = boards_.find(worker);
    const auto begun = begun_.find(worker);
    if (board == nullptr || begun == begun_.end()) return std::nullopt;
    const Count now = count_of(*board);
    // A board may say anything.
    if (now.steps <= begun->second.steps || now.rows < begun->second.rows) return std::nullopt;
    return static_cast<double>(now.rows - begun->second.rows) /
           static_cast<double>(now.steps - begun->second.steps);
}

}  // namespace bitnetd::frontend
