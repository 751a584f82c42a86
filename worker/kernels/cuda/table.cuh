// The kernels of this folder as one table: a file for each idea, whose last function puts the
// kernel on a stream and is the entry. Compiled once by nvcc (cuda_table.cu) and once by g++ over
// the emulation of tests/support/cuda.
#pragma once

#include "worker/kernels/cuda/add.cuh"
#include "worker/kernels/cuda/cuda_kernels.h"

namespace bitnetd::kernels::cuda {
namespace {

constexpr CudaKernels make_table(const char* name) {
    return {
        .name = name,
        .embed = nullptr,
        .rms_norm = nullptr,
        .round = nullptr,
        .multiply = nullptr,
        .logits = nullptr,
        .gate = nullptr,
        .add = add,
        .rotate_and_store = nullptr,
        .attend = nullptr,
        .largest = nullptr,
        .draw = nullptr,
        .copy_page = nullptr,
    };
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
