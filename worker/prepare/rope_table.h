// The rotary table: cosine and sine of every position and pair, computed once by the loader in
// double with common/base/portable_math.h, so that every worker on every CPU rotates by the same
// bits.
#pragma once

#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "worker/prepare/hyperparameters.h"

namespace bitnetd::worker {

// out float [context][rope_dims]: of each position the cosines of all pairs, then their sines.
//   angle(position, pair) = position * base^(-2 pair / rope_dims) * rope_angle_factor /
//   factors[pair]
// `factors` is empty or has rope_dims / 2 numbers; one that is not above zero is refused.
Result<void> fill_rope_table(const Hyperparameters& model, std::span<const float> factors,
                             std::span<float> out);

}  // namespace bitnetd::worker
