// Packs ternary matrices: digits of any ternary type in the blocks that kernel_api.h's TernaryGemm
// reads, with one scale for the matrix.
#pragma once

#include <cstddef>
#include <functional>

#include "common/base/result.h"
#include "common/quant/ternary_matrix.h"

namespace bitnetd::worker {

struct TernaryRows {
    uint64_t first = 0;  // a multiple of the matrix's row_step(), and so is count
    uint64_t count = 0;
};

// `out` has room for the packed rows. Called with the rows done after each part. Returns the scale
// of the matrix: types with scales of their own for rows or blocks must have one magnitude
// throughout, where blocks of zeros may have the scale 0. 0 for a matrix of zeros.
Result<float> pack_ternary(quant::TernaryMatrix& matrix, TernaryRows rows, std::byte* out,
                           const std::function<void(uint64_t rows)>& done);

}  // namespace bitnetd::worker
