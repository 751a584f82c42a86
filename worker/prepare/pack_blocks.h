// Packs block-quantised matrices into the stripes that the block kernels read
// (worker/kernels/block_format.h), without rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "common/base/result.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

// `out` has room for the packed matrix and is zero. Called with the rows done after each part.
// Blocks whose factors are not finite are an error that names the row.
Result<void> pack_blocks(ModelInput& input, const PlannedTensor& tensor, std::byte* out,
                         const std::function<void(uint64_t rows)>& done);

}  // namespace bitnetd::worker
