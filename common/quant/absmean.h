// Ternary weights from a master weight matrix, the rule models are trained with: one scale for the
// matrix, the mean magnitude; a weight is -1, 0 or +1 times it, whichever is nearest. The mean is
// over the whole matrix of one projection, before any fusion.
#pragma once

#include <cstdint>
#include <span>

#include "common/quant/quant_types.h"

namespace bitnetd::quant {

// First pass: every row once, in any order.
class AbsMean {
  public:
    void add(std::span<const float> values);

    // At least 1e-5. The sum is kept in double and rounded once.
    float value() const;

  private:
    double sum_ = 0;
    uint64_t count_ = 0;
};

// Second pass: digit = clamp(round(value * (1 / mean)), -1, 1), ties to even. `mean` is
// AbsMean::value().
void ternarise(std::span<const float> values, float mean, std::span<int8_t> digits);

// The magnitude of the ternary weights: `mean` rounded to the type of the checkpoint, F32, F16 or
// BF16, because the models' own code keeps its result in that.
float ternary_scale(float mean, Type checkpoint);

}  // namespace bitnetd::quant
