// How full a worker's steps were while a request was here: from the counters on its board, at the
// request's arrival and at its end. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "supervisor/frontend/api/board_set.h"

namespace bitnetd::frontend {

class StepMeter {
  public:
    // Notes where all workers stand. `boards` outlives it.
    explicit StepMeter(const BoardSet& boards);

    // Rows (tokens) of the steps that this worker has finished since, by their number. Nothing
    // when there was none, or when the worker came later or is gone.
    std::optional<double> mean_rows(uint64_t worker) const;

  private:
    struct Count {
        uint64_t steps = 0;
        uint64_t rows = 0;
    };
    static Count count_of(const shm::BoardView& board);

    const BoardSet& boards_;
    std::map<uint64_t, Count> begun_;  // by incarnation
};

}  // namespace bitnetd::frontend
