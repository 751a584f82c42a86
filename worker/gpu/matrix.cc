#include "worker/gpu/matrix.h"

#include "common/base/check.h"

namespace bitnetd::worker {

using kernels::cuda::Gate;
using kernels::cuda::MatrixKind;
using kernels::cuda::Rounding;

MatrixKind kind_of(shm::Packing packing) {
    switch (packing) {
        case shm::Packing::kF32:
            return MatrixKind::kF32;
        case shm::Packing::kF16:
            return MatrixKind::kF16;
        case shm::Packing::kBF16:
            return MatrixKind::kBf16;
        case shm::Packing::kTernary2Bit:
            return MatrixKind::kTernary;
        case shm::Packing::kBlocks:
            return MatrixKind::kBlocks;
    }
    BITNETD_CHECK(false);  // open_weights() refuses others
    return {};
}

kernels::cuda::Matrix matrix_of(const Linear& w) {
    return {.data = w.weights,
            .kind = kind_of(w.packing),
            .block_format = w.block_format,
            .rows = w.outputs,
            .columns = w.inputs,
            .scale = w.scale,
            .bias = w.bias};
}

Rounding rounding_of(const Linear& w) {
    if (!w.rounds_input) return Rounding::kNone;
    return w.packing == shm::Packing::kTernary2Bit ? Rounding::kRows : Rounding::kBlocks;
}

Gate gate_of(shm::Activation activation) {
    switch (activation) {
        case shm::Activation::kRelu2:
            return Gate::kRelu2;
        case shm::Activation::kSilu:
            return Gate::kSilu;
        case shm::Activation::kGelu:
            return Gate::kGelu;
    }
    BITNETD_CHECK(false);  // open_weights() refuses others
    return {};
}

}  // namespace bitnetd::worker
