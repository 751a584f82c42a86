// EmulatedDevice: a Device in the host's memory, for the emulated kernels of tests/support/cuda and
// for others that put their work on its stream. As on a GPU nothing runs before wait() is called,
// copies included, so that who reads too early, or overwrites what is still to be uploaded, gets
// wrong numbers. It fails on command. Memory begins as 0xff, NaN everywhere, but for large pieces.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/cuda/stream.h"
#include "worker/gpu/device.h"

namespace bitnetd::worker::test {

class EmulatedDevice final : public Device {
  public:
    struct Faults {
        uint64_t memory_bytes = uint64_t{1} << 40;  // that it says it has
        // The wait, counted from 1, that finds the device lost, and the one that never ends.
        uint64_t lost_at_wait = 0;
        uint64_t hangs_at_wait = 0;
        // The same, asked at each wait.
        std::function<bool()> is_lost = [] { return false; };
        std::function<bool()> hangs = [] { return false; };
    };

    EmulatedDevice() : EmulatedDevice(Faults{}) {}
    explicit EmulatedDevice(Faults faults);
    ~EmulatedDevice() override;

    const DeviceFacts& facts() const override { return facts_; }
    Result<uint64_t> free_bytes() override { return faults_.memory_bytes - allocated_bytes_; }
    Result<std::byte*> allocate(uint64_t bytes) override;
    Result<std::byte*> allocate_host(uint64_t bytes) override;
    Mark mark() const override { return {memory_.size(), host_memory_.size(), graphs_.size()}; }
    void give_back(const Mark& mark) noexcept override;
    kernels::cuda::Stream stream() override { return &stream_; }
    void upload(const void* from, void* to, uint64_t bytes) noexcept override;
    void download(const void* from, void* to, uint64_t bytes) noexcept override;
    Result<Graph> capture(const std::function<void()>& work) override;
    void launch(Graph graph) noexcept override;
    Result<void> wait(uint64_t timeout_ns) override;

    uint64_t waits() const { return waits_; }
    uint64_t allocations() const { return memory_.size(); }
    uint64_t uploaded_bytes() const { return uploaded_bytes_; }

  private:
    struct Free {
        void operator()(std::byte* memory) const;
    };
    struct Block {
        std::unique_ptr<std::byte, Free> memory;
        uint64_t bytes;
    };

    static Block make(uint64_t bytes);
    // Whether all of it is memory of this device.
    bool is_mine(const void* at, uint64_t bytes) const;
    void take_in();

    Faults faults_;
    DeviceFacts facts_;
    CUstream_st stream_;
    std::vector<kernels::cuda_emulated::Graph> queue_;  // what was put on the stream
    std::vector<std::shared_ptr<const kernels::cuda_emulated::Graph>> graphs_;
    std::vector<Block> memory_;
    std::vector<Block> host_memory_;
    uint64_t allocated_bytes_ = 0;  // of memory_
    uint64_t uploaded_bytes_ = 0;
    uint64_t waits_ = 0;
    std::optional<Error> broken_;
};

}  // namespace bitnetd::worker::test
