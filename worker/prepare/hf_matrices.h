// Ternary matrices that only checkpoints have (quant/ternary_matrix.h says what a TernaryMatrix
// promises). Loader process.
#pragma once

#include <cstdint>
#include <memory>

#include "common/base/result.h"
#include "common/quant/ternary_matrix.h"

namespace bitnetd::worker {

using TernaryMatrixPtr = std::unique_ptr<quant::TernaryMatrix>;

// Ternarises a matrix of masters, F32, F16 or BF16, as its models are trained (quant/absmean.h).
// Reads the whole matrix once for the mean. The error names row and column of what is not finite.
Result<TernaryMatrixPtr> open_master(quant::Type type, quant::Shape shape, quant::ReadAt read);

// `matrix` with its rows in the order that llama GGUF files have (row_permutation.h). It has one
// scale and is read row by row; its rows are a multiple of `head_dim`.
TernaryMatrixPtr in_gguf_order(TernaryMatrixPtr matrix, uint64_t head_dim);

}  // namespace bitnetd::worker
