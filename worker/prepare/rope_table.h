// The rotary tables: cosine and sine of every position and pair, computed once by the loader in
// double with common/base/portable_math.h, so that every worker on every CPU rotates by the same
// bits.
#pragma once

#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "worker/prepare/rope_scaling.h"

namespace bitnetd::worker {

struct RopeTable {
    uint32_t context = 0;            // positions
    uint32_t rope_dims = 0;          // even
    double base = 0;                 // >= 1
    std::span<const float> factors;  // none, or one for every pair: its angle is divided by it
    RopeScaling scaling;
};

// out float [positions][rope_dims], of positions of the table from `first` on: of each the cosines
// of all pairs, then their sines.
//   angle(position, pair) = position * base^(-2 pair / rope_dims) / factors[pair], then scaled
// A factor that is not above zero is refused.
Result<void> fill_rope_table(const RopeTable& table, uint32_t first, std::span<float> out);

}  // namespace bitnetd::worker
