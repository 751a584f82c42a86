// x[t] += y[t]. 12 bytes a value: bound by memory. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kAddThreads = 256;

BITNETD_KERNEL(kAddThreads) void add_kernel(int64_t count, const float* y, float* x) {
    wait_for_earlier_launches();
    const int64_t t = int64_t{block_x()} * kAddThreads + thread_index();
    if (t < count) x[t] += y[t];
}

void add(Stream stream, int64_t count, const float* y, float* x) noexcept {
    const auto blocks = static_cast<uint32_t>(divided_up<int64_t>(count, kAddThreads));
    launch(stream, {blocks}, kAddThreads, 0, add_kernel, count, y, x);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
