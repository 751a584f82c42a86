// The model's words for what the kernels of a GPU take. Pure.
#pragma once

#include "shm/abi/weights_abi.h"
#include "worker/kernels/cuda/cuda_kernels.h"
#include "worker/model/linear.h"

namespace bitnetd::worker {

kernels::cuda::MatrixKind kind_of(shm::Packing packing);
// `w` with pointers of the device.
kernels::cuda::Matrix matrix_of(const Linear& w);
// What the rows become before they are multiplied with `w`.
kernels::cuda::Rounding rounding_of(const Linear& w);
kernels::cuda::Gate gate_of(shm::Activation activation);

}  // namespace bitnetd::worker
