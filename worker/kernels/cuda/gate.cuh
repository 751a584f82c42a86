// gate = activation(gate) * up. 12 bytes a value: bound by memory. Not measured on a device yet.
#pragma once

#include "worker/kernels/cuda/numbers.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kGateThreads = 256;

// kernel_api.h GatedActivation.
template <Gate kGate>
BITNETD_DEVICE float activated(float x) {
    if constexpr (kGate == Gate::kRelu2) {
        const float r = x > 0.0f ? x : 0.0f;
        return r * r;
    } else if constexpr (kGate == Gate::kSilu) {
        return x / (1.0f + exp_of(-x));
    } else {
        const float minus_2u = kGeluTwice * x * fma(kGeluCube, x * x, 1.0f);
        return x / (1.0f + exp_of(minus_2u));
    }
}

template <Gate kGate>
BITNETD_KERNEL(kGateThreads)
void gate_kernel(int64_t count, float* gate, const float* up) {
    wait_for_earlier_launches();
    const int64_t t = int64_t{block_x()} * kGateThreads + thread_index();
    if (t < count) gate[t] = activated<kGate>(gate[t]) * up[t];
}

void gate(Stream stream, int64_t count, Gate activation, float* gate, const float* up) noexcept {
    const auto kernel = activation == Gate::kRelu2  ? gate_kernel<Gate::kRelu2>
                        : activation == Gate::kSilu ? gate_kernel<Gate::kSilu>
                                                    : gate_kernel<Gate::kGelu>;
    const auto blocks = static_cast<uint32_t>(divided_up<int64_t>(count, kGateThreads));
    launch(stream, {blocks}, kGateThreads, 0, kernel, count, gate, up);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
