// Packs ternary matrices: digits of any ternary type in the blocks that kernel_api.h's TernaryGemm
// reads, with one scale for the matrix.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/result.h"
#include "common/quant/ternary_matrix.h"
#include "worker/prepare/row_range.h"

namespace bitnetd::worker {

// The one magnitude of a matrix, from the scales of its parts: types with scales of their own for
// rows or blocks must have the same throughout, where parts of zeros may have the scale 0.
class OneMagnitude {
  public:
    // The error says which two there are.
    Result<void> take(float magnitude);
    float value() const { return value_; }  // 0 when all was zero

  private:
    float value_ = 0;
};

// Packs rows of the matrix, first and count multiples of its row_step(); `out` has room for them.
// Returns their magnitude; 0 for rows of zeros.
Result<float> pack_ternary(quant::TernaryMatrix& matrix, RowRange rows, std::byte* out);

}  // namespace bitnetd::worker
