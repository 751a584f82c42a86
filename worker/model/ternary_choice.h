// Which way of a kernel table computes ternary products fastest for so many rows, on these weights
// and this machine: measured once when a model is loaded, kept in its weights, used by its workers.
// All ways give the same bits, so a bad measurement costs time and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "shm/abi/weights_abi.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::worker {

struct WeightsView;

class TernaryChoice {
  public:
    // As measured when `tuning` is of this table, else by the table's own rows_from.
    TernaryChoice(const kernels::KernelTable& kernels, const shm::TernaryTuning& tuning);

    // For m >= 1 rows.
    kernels::TernaryGemm of(int32_t m) const noexcept {
        size_t way = count_ - 1;
        while (way > 0 && m < rows_from_[way])
            --way;
        return run_[way];
    }

    // For the log and for people: "packed 1, tiles 6": from how many rows on each.
    const std::string& text() const { return text_; }

  private:
    std::array<kernels::TernaryGemm, kernels::kTernaryWaysMax> run_{};
    std::array<int32_t, kernels::kTernaryWaysMax> rows_from_{};
    size_t count_ = 0;
    std::string text_;
};

// Times every way of the table on the model's largest ternary matrix, a part that takes some tens
// of milliseconds in all, on the calling thread. Without ternary matrices or with one way only: no
// tuning (an empty name).
shm::TernaryTuning measure_ternary_ways(const WeightsView& weights,
                                        const kernels::KernelTable& kernels);

}  // namespace bitnetd::worker
