// Reductions over the threads of a block. Every thread gets the result; the order of a sum is that
// of this file, so floats are only summed where their order does not matter (rms_norm.cuh).
#pragma once

#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda {
namespace {

struct Sum {
    template <typename T>
    BITNETD_DEVICE T operator()(T a, T b) const {
        return a + b;
    }
};
struct Maximum {
    template <typename T>
    BITNETD_DEVICE T operator()(T a, T b) const {
        return a > b ? a : b;
    }
};

// Over groups of kLanes neighbouring lanes.
template <int kLanes, typename T, typename Reduce>
BITNETD_DEVICE T over_lanes(T value, Reduce reduce) {
    BITNETD_UNROLL
    for (int32_t bits = 1; bits < kLanes; bits *= 2)
        value = reduce(value, shuffle_xor(value, bits));
    return value;
}

// `none` changes nothing.
template <typename T, typename Reduce>
BITNETD_DEVICE T over_block(T value, T none, Reduce reduce) {
    BITNETD_SHARED T of_warp[kWarp];
    value = over_lanes<kWarp>(value, reduce);
    block_barrier();  // the last reduction's results were read
    if (lane_index() == 0) of_warp[warp_index()] = value;
    block_barrier();
    const bool is_warp = lane_index() < thread_count() / kWarp;
    return over_lanes<kWarp>(is_warp ? of_warp[lane_index()] : none, reduce);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
