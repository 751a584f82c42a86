// The only source that nvcc compiles.
#include "worker/kernels/cuda/cuda_table.h"

#include "worker/kernels/cuda/table.cuh"

namespace bitnetd::kernels::cuda {

const CudaKernels& cuda_table() {
    static constexpr CudaKernels kTable = make_table("cuda");
    return kTable;
}

}  // namespace bitnetd::kernels::cuda
