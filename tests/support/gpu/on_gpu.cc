// The tests of tests/property/worker/kernels/cuda on a real GPU: this file takes the place of the
// emulation. All memory that the process asks for is managed memory, which host and device share,
// so that tests need not know where they run; and every entry waits until its work is done. Without
// a GPU memory is ordinary, and all tests are skipped.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <span>

#include "tests/support/cuda/block.h"
#include "tests/support/cuda/emulated_table.h"
#include "worker/kernels/cuda/cuda_table.h"

namespace {

using namespace bitnetd::kernels;

const char* missing_gpu() {
    static const char* const kWhy = [] {
        int count = 0;
        const cudaError_t error = cudaGetDeviceCount(&count);
        if (error != cudaSuccess) return cudaGetErrorString(error);
        return count == 0 ? "the driver knows no GPU" : static_cast<const char*>(nullptr);
    }();
    return kWhy;
}

// Pieces of managed memory by powers of two, kept for the next one who asks: an allocation by the
// driver takes milliseconds. Never given back.
class ManagedMemory {
  public:
    void* take(size_t bytes) {
        const size_t order = order_of(bytes);
        const std::lock_guard lock(mutex_);
        if (Piece* piece = free_[order]) {
            free_[order] = piece->next;
            return piece + 1;
        }
        return make(order);
    }
    void give_back(void* memory) {
        Piece* piece = static_cast<Piece*>(memory) - 1;
        const std::lock_guard lock(mutex_);
        piece->next = free_[piece->order];
        free_[piece->order] = piece;
    }

  private:
    // In front of each; as large as device memory is aligned.
    struct alignas(256) Piece {
        size_t order;
        Piece* next;
    };
    static constexpr size_t kOrders = 40;
    static constexpr size_t kChunk = size_t{64} << 20;

    static size_t order_of(size_t bytes) {
        size_t order = 8;
        while ((size_t{1} << order) < bytes)
            ++order;
        return order;
    }
    void* make(size_t order) {
        const size_t bytes = sizeof(Piece) + (size_t{1} << order);
        if (order >= kOrders) return nullptr;
        if (left_ < bytes) {
            const size_t chunk = bytes > kChunk ? bytes : kChunk;
            void* memory = nullptr;
            if (missing_gpu() != nullptr) {
                memory = std::aligned_alloc(alignof(Piece), chunk);
            } else if (cudaMallocManaged(&memory, chunk) != cudaSuccess) {
                memory = nullptr;
            }
            if (memory == nullptr) return nullptr;
            next_ = static_cast<std::byte*>(memory);
            left_ = chunk;
        }
        auto* piece = new (next_) Piece{order, nullptr};
        next_ += bytes;
        left_ -= bytes;
        return piece + 1;
    }

    std::mutex mutex_;
    Piece* free_[kOrders] = {};
    std::byte* next_ = nullptr;
    size_t left_ = 0;
};

ManagedMemory& managed_memory() {
    static ManagedMemory memory;  // the first one who asks may run before any constructor
    return memory;
}

// Until what was launched is done. A sticky error ends all: nothing a test finds after it counts.
void finish(const char* entry) {
    cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) error = cudaDeviceSynchronize();
    if (error == cudaSuccess) return;
    std::fprintf(stderr, "%s: %s\n", entry, cudaGetErrorString(error));
    std::_Exit(1);
}

// An entry of the device's table that waits, on the stream of everybody.
template <auto kEntry>
struct Waiting;
template <typename... Arguments,
          void (*cuda::CudaKernels::*kEntry)(cuda::Stream, Arguments...) noexcept>
struct Waiting<kEntry> {
    static void call(cuda::Stream, Arguments... arguments) noexcept {
        (cuda::cuda_table().*kEntry)(nullptr, arguments...);
        finish("a kernel");
    }
};

class NeedsGpu : public testing::Environment {
    void SetUp() override {
        if (missing_gpu() != nullptr) GTEST_SKIP() << "no GPU: " << missing_gpu();
    }
};
[[maybe_unused]] const auto* const kNeedsGpu = testing::AddGlobalTestEnvironment(new NeedsGpu);

}  // namespace

void* operator new(size_t bytes) {
    if (void* memory = managed_memory().take(bytes)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    if (memory != nullptr) managed_memory().give_back(memory);
}
void operator delete(void* memory, size_t) noexcept {
    operator delete(memory);
}

namespace bitnetd::kernels::cuda_emulated {

// A device has an order of its own.
void set_thread_order(uint32_t) {}

const cuda::CudaKernels& table() {
    using cuda::CudaKernels;
    static const CudaKernels kTable = {
        .name = "cuda",
        .embed = Waiting<&CudaKernels::embed>::call,
        .rms_norm = Waiting<&CudaKernels::rms_norm>::call,
        .round = Waiting<&CudaKernels::round>::call,
        .multiply = Waiting<&CudaKernels::multiply>::call,
        .logits = Waiting<&CudaKernels::logits>::call,
        .gate = Waiting<&CudaKernels::gate>::call,
        .add = Waiting<&CudaKernels::add>::call,
        .rotate_and_store = Waiting<&CudaKernels::rotate_and_store>::call,
        .attend = Waiting<&CudaKernels::attend>::call,
        .largest = Waiting<&CudaKernels::largest>::call,
        .draw = Waiting<&CudaKernels::draw>::call,
        .copy_page = Waiting<&CudaKernels::copy_page>::call,
    };
    return kTable;
}

}  // namespace bitnetd::kernels::cuda_emulated
