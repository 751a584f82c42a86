// The kernels of this folder as one table: a file for each idea, whose last function puts the
// kernel on a stream and is the entry. Compiled once by nvcc (cuda_table.cu) and once by g++ over
// the emulation of tests/support/cuda.
#pragma once

#include "worker/kernels/cuda/add.cuh"
#include "worker/kernels/cuda/attend.cuh"
#include "worker/kernels/cuda/copy_page.cuh"
#include "worker/kernels/cuda/cuda_kernels.h"
#include "worker/kernels/cuda/draw.cuh"
#include "worker/kernels/cuda/embed.cuh"
#include "worker/kernels/cuda/gate.cuh"
#include "worker/kernels/cuda/largest.cuh"
#include "worker/kernels/cuda/logits.cuh"
#include "worker/kernels/cuda/multiply.cuh"
#include "worker/kernels/cuda/rms_norm.cuh"
#include "worker/kernels/cuda/rotate.cuh"
#include "worker/kernels/cuda/round.cuh"

namespace bitnetd::kernels::cuda {
namespace {

constexpr CudaKernels make_table(const char* name) {
    return {
        .name = name,
        .embed = embed,
        .rms_norm = rms_norm,
        .round = round,
        .multiply = multiply,
        .logits = logits,
        .gate = gate,
        .add = add,
        .rotate_and_store = rotate_and_store,
        .attend = attend,
        .largest = largest,
        .draw = draw,
        .copy_page = copy_page,
    };
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
