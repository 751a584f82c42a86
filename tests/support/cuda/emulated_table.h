// The kernels of worker/kernels/cuda run by the emulation of block.h: for tests, and for whole
// servers, where there is no GPU.
#pragma once

#include "worker/kernels/cuda/cuda_kernels.h"

namespace bitnetd::kernels::cuda_emulated {

// "cuda-emulated". Its streams are CUstream_st of stream.h.
const cuda::CudaKernels& table();

}  // namespace bitnetd::kernels::cuda_emulated
