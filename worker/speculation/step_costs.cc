#include "worker/speculation/step_costs.h"

namespace bitnetd::worker {

void StepCosts::step_took(uint32_t rows, uint64_t took_ns) noexcept {
    ++steps_;
    if (rows > kRowsMax) return;
    const bool goes_on = is_measured(rows);
    Mean& mean = means_[rows];
    const auto value = static_cast<double>(took_ns);
    mean.ns = goes_on ? mean.ns + (value - mean.ns) / 8 : value;
    mean.renewed = steps_;
}

bool StepCosts::is_measured(uint32_t rows) const noexcept {
    const Mean& mean = means_[rows];
    return mean.renewed != 0 && steps_ - mean.renewed <= kFreshSteps;
}

double StepCosts::of(uint32_t rows) const noexcept {
    uint32_t below = rows;
    while (below > 0 && !is_measured(below))
        --below;
    uint32_t above = rows;
    while (above <= kRowsMax && !is_measured(above))
        ++above;
    if (below == 0) return above <= kRowsMax ? means_[above].ns : 0;
    if (above > kRowsMax || above == below) return means_[below].ns;
    const double share = static_cast<double>(rows - below) / static_cast<double>(above - below);
    return means_[below].ns + share * (means_[above].ns - means_[below].ns);
}

}  // namespace bitnetd::worker
