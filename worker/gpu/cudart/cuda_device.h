// CudaDevice: a Device by the CUDA runtime, which is linked in; beyond it the driver is all that is
// needed. Every call is checked, and an error names the call and the runtime's words. Built only
// where the CUDA Toolkit is (BITNETD_HAS_CUDA).
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <optional>
#include <vector>

#include "worker/gpu/device.h"

namespace bitnetd::worker {

class CudaDevice final : public Device {
  public:
    // Device `index` as the driver counts them: makes its context, loads all modules and makes the
    // stream. kUnavailable where there is none or no driver, kUnsupported where this build has no
    // code for it.
    static Result<std::unique_ptr<Device>> open(uint32_t index);
    ~CudaDevice() override;

    const DeviceFacts& facts() const override { return facts_; }
    Result<uint64_t> free_bytes() override;
    Result<std::byte*> allocate(uint64_t bytes) override;
    Result<std::byte*> allocate_host(uint64_t bytes) override;
    Mark mark() const override { return {memory_.size(), host_memory_.size(), graphs_.size()}; }
    void give_back(const Mark& mark) noexcept override;
    kernels::cuda::Stream stream() override { return stream_; }
    void upload(const void* from, void* to, uint64_t bytes) noexcept override;
    void download(const void* from, void* to, uint64_t bytes) noexcept override;
    Result<Graph> capture(const std::function<void()>& work) override;
    void launch(Graph graph) noexcept override;
    Result<void> wait(uint64_t timeout_ns) override;

  private:
    CudaDevice() = default;
    Result<void> start(uint32_t index);
    Result<void> instantiate(cudaGraph_t graph);
    // Keeps the first error.
    void note(const char* call, cudaError_t error) noexcept;

    DeviceFacts facts_;
    cudaStream_t stream_ = nullptr;
    std::vector<cudaGraphExec_t> graphs_;
    std::vector<void*> memory_;
    std::vector<void*> host_memory_;
    std::optional<Error> broken_;
};

}  // namespace bitnetd::worker
