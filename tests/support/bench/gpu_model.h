// A packed model as bitnetd-worker-cuda computes it, on any Device: the real engine, graphs and KV
// cache in the device's memory. One thread drives it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "common/config/kv_type.h"
#include "tests/support/bench/model_runner.h"
#include "worker/gpu/device.h"
#include "worker/gpu/device_weights.h"
#include "worker/gpu/gpu_engine.h"

namespace bitnetd::bench {

// The weights, uploaded once. The device outlives it.
class GpuModel {
  public:
    static Result<std::unique_ptr<GpuModel>> create(worker::Device& device,
                                                    const kernels::cuda::CudaKernels& kernels,
                                                    std::span<const std::byte> weights,
                                                    worker::BlockInputs block_inputs);

    struct Options {
        KvType kv_type;
        uint32_t step_tokens;  // rows of a step at most
        uint32_t sequences;    // at once
        uint32_t positions;    // of each, at most
    };
    // Engine and KV cache for some runs; their memory is given back at its end. One at a time.
    class Run {
      public:
        ~Run();
        ModelRunner& runner() { return *runner_; }

      private:
        friend GpuModel;
        explicit Run(worker::Device& device) : device_(device), mark_(device.mark()) {}

        worker::Device& device_;
        const worker::Device::Mark mark_;
        std::unique_ptr<worker::GpuEngine> engine_;
        std::optional<worker::KvCache> cache_;
        std::optional<ModelRunner> runner_;
    };
    Result<std::unique_ptr<Run>> run(const Options& options);

  private:
    GpuModel(worker::Device& device, const kernels::cuda::CudaKernels& kernels)
        : device_(device), kernels_(kernels) {}

    worker::Device& device_;
    const kernels::cuda::CudaKernels& kernels_;
    worker::DeviceWeights weights_;
};

}  // namespace bitnetd::bench
