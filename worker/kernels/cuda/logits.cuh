// The entry `logits`: the product with the floats themselves, whatever the packing
// (multiply_floats of worker/model/linear.h). A model with a ternary output matrix is refused
// before it gets here (worker/model/weights_view.h).
#pragma once

#include "worker/kernels/cuda/block_products.cuh"
#include "worker/kernels/cuda/float_tiles.cuh"

namespace bitnetd::kernels::cuda {
namespace {

void logits(Stream stream, int32_t m, const Matrix& w, const float* x, float cap,
            float* y) noexcept {
    const Product product{w, y};
    const Finish how{Store::kSet, cap};
    if (w.kind == MatrixKind::kBlocks) {
        multiply_block_floats(stream, m, {&product, 1}, x, how);
    } else {
        multiply_float_matrices(stream, m, {&product, 1}, x, how);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
