// Packs tensors, any range of their rows on its own, so that several threads can pack one tensor.
// What is written depends on the rows alone, not on how they are divided. Loader process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/row_range.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

// The eight-bit copy of an output matrix (pack_screen.h), packed along with it.
struct ScreenMemory {
    std::byte* codes;
    std::span<float> errors;  // [rows][2]
};

// Where a planned tensor goes. `screen` is null for all but a plain matrix of floats.
struct PackTarget {
    std::byte* bytes;  // of the whole packed tensor, zero before
    const ScreenMemory* screen = nullptr;
};

// Ranges may be cut at multiples of this many of the planned rows; all rows, and more, when the
// tensor must be packed as a whole.
Result<uint64_t> rows_to_cut_at(ModelInput& input, const PlannedTensor& tensor);

// Packs `rows` of the planned rows. Returns the scale of those rows: for a ternary tensor the
// magnitude of its weights, 0 where all are zero; else 1. By any thread.
Result<float> pack_rows(ModelInput& input, const PlannedTensor& tensor, RowRange rows,
                        const PackTarget& target);

}  // namespace bitnetd::worker
