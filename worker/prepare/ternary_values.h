// TernaryValues: a matrix stored as floats whose values are exactly -s, 0 and s, read as digits.
// Loader process; a matrix that holds anything else is refused with the values that show it.
#pragma once

#include <memory>
#include <span>

#include "common/base/result.h"
#include "common/quant/ternary_matrix.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// `input` outlives the matrix. Its scale is s; rows of zeros have it too.
std::unique_ptr<quant::TernaryMatrix> read_as_ternary(ModelInput& input, const ModelTensor& tensor);

}  // namespace bitnetd::worker
