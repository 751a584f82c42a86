// What a step without prompt rows takes, by how many rows it has: the cost curve of this machine
// and model, measured on the steps that are taken anyway. Loop thread; no clock of its own.
#pragma once

#include <array>
#include <cstdint>

namespace bitnetd::worker {

class StepCosts {
  public:
    // Rows beyond are not measured: there, kernels are bound by arithmetic and a row has its price.
    static constexpr uint32_t kRowsMax = 32;
    // A measurement that was not renewed for so many steps is forgotten, or one slow step, or a
    // neighbour that is long gone, would rule out a number of rows for good.
    static constexpr uint64_t kFreshSteps = 1000;

    // A step with that many rows, none of them a prompt's; 1 or more.
    void step_took(uint32_t rows, uint64_t took_ns) noexcept;

    bool is_measured(uint32_t rows) const noexcept;
    // Nanoseconds of a step with 1 .. kRowsMax rows: measured; else on the line between its
    // measured neighbours; else that of the nearest one. So more rows than were ever tried look
    // free, are tried, and then known. 0 when nothing is measured.
    double of(uint32_t rows) const noexcept;

  private:
    struct Mean {
        double ns = 0;
        uint64_t renewed = 0;  // steps_ at its last value; 0: never
    };

    std::array<Mean, kRowsMax + 1> means_{};  // by rows
    uint64_t steps_ = 0;
};

}  // namespace bitnetd::worker
