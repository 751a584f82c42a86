// The kernels of this folder for a real device; in the library kernels_cuda, which exists where
// nvcc was found.
#pragma once

#include "worker/kernels/cuda/cuda_kernels.h"

namespace bitnetd::kernels::cuda {

const CudaKernels& cuda_table();

}  // namespace bitnetd::kernels::cuda
