// Packs block-quantised matrices into the stripes that the block kernels read
// (worker/kernels/block_format.h), without rounding.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/result.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/row_range.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

// Packs `rows` of the planned rows; ranges that several threads pack are cut between stripes. `out`
// is the whole packed matrix and zero before. Blocks whose factors are not finite are an error that
// names the row.
Result<void> pack_blocks(ModelInput& input, const PlannedTensor& tensor, RowRange rows,
                         std::byte* out);

}  // namespace bitnetd::worker
