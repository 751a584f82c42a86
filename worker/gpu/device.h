// Device: the host's view of one GPU, as the worker needs it: memory that stays until the end, one
// stream that work is put on, graphs of such work, and one way to wait. CudaDevice (cudart/) is a
// real one; tests have one that fails on command.
//
// Whatever only puts work on the stream cannot fail by itself: a GPU tells of errors later, and a
// queue that is broken stays broken. The first error is kept, with the name of the call that met
// it, and wait() returns it. Errors: kExhausted (out of device memory), kUnavailable (the device is
// gone, hangs, or has met an error after which nothing it says counts), kUnsupported (this build
// has no code for it). Main thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "common/base/result.h"
#include "worker/kernels/cuda/cuda_kernels.h"

namespace bitnetd::worker {

struct DeviceFacts {
    std::string name;    // "NVIDIA H100 80GB HBM3"
    std::string family;  // "sm_90": what its code is chosen by
    std::string pci_id;  // "0000:41:00.0"; empty: none
    uint64_t memory_bytes = 0;
};

class Device {
  public:
    virtual ~Device() = default;

    virtual const DeviceFacts& facts() const = 0;
    virtual Result<uint64_t> free_bytes() = 0;

    // Aligned to 256 bytes. Before READY only.
    virtual Result<std::byte*> allocate(uint64_t bytes) = 0;
    // Memory of the host that copies may take from or put to while others go on.
    virtual Result<std::byte*> allocate_host(uint64_t bytes) = 0;

    // Memory and graphs stay until the device ends, or what came after a mark is given back.
    // Nothing of it is at work then.
    struct Mark {
        size_t memory;
        size_t host_memory;
        size_t graphs;
    };
    virtual Mark mark() const = 0;
    virtual void give_back(const Mark& mark) noexcept = 0;

    virtual kernels::cuda::Stream stream() = 0;
    // Copies, in the order of the stream. What is uploaded must not change, and what is downloaded
    // is not there, before wait() returned.
    virtual void upload(const void* from, void* to, uint64_t bytes) noexcept = 0;
    virtual void download(const void* from, void* to, uint64_t bytes) noexcept = 0;

    // What `work` puts on the stream becomes a graph instead; launch() puts all of it there. Shapes
    // and pointers are fixed then, what they point to is not. Before READY only.
    using Graph = uint32_t;
    virtual Result<Graph> capture(const std::function<void()>& work) = 0;
    virtual void launch(Graph graph) noexcept = 0;

    // Until all that was put on the stream is done, at most so long.
    virtual Result<void> wait(uint64_t timeout_ns) = 0;

    // allocate() for `count` values.
    template <typename T>
    Result<T*> array(uint64_t count) {
        BITNETD_ASSIGN(std::byte* const memory, allocate(count * sizeof(T)));
        return reinterpret_cast<T*>(memory);
    }
    template <typename T>
    Result<T*> host_array(uint64_t count) {
        BITNETD_ASSIGN(std::byte* const memory, allocate_host(count * sizeof(T)));
        return reinterpret_cast<T*>(memory);
    }
};

// The errors every device tells in the same words.
Error out_of_device_memory(std::string_view call, uint64_t wanted_bytes, uint64_t free_bytes);
Error device_hangs(uint64_t timeout_ns);

}  // namespace bitnetd::worker
