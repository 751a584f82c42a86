#include "tests/support/cuda/emulated_table.h"

#include "worker/kernels/cuda/device_ops.cuh"
// The operations come before the kernels that use them.
#include "tests/support/cuda/emulated_ops.h"
#include "worker/kernels/cuda/table.cuh"

namespace bitnetd::kernels::cuda_emulated {

const cuda::CudaKernels& table() {
    static constexpr cuda::CudaKernels kTable = cuda::make_table("cuda-emulated");
    return kTable;
}

}  // namespace bitnetd::kernels::cuda_emulated
