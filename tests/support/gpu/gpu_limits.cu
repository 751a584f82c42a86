#include "tests/support/gpu/gpu_limits.h"

#include <algorithm>
#include <string>
#include <vector>

#include "worker/kernels/cuda/nvcc_ops.cuh"

namespace bitnetd::bench {
namespace {

using kernels::cuda::kWarp;
using kernels::cuda::Words;

constexpr size_t kReadBytes = size_t{1} << 30;
constexpr int kThreads = 256;
constexpr int kBlocksEach = 8;  // of every multiprocessor

// 16 bytes a thread at a time, once each. The sum is stored where it cannot be, so that no load is
// left out.
__global__ void read_all(const Words* from, size_t count, uint32_t* never) {
    uint32_t sum = 0;
    const size_t stride = size_t{gridDim.x} * blockDim.x;
    for (size_t at = size_t{blockIdx.x} * blockDim.x + threadIdx.x; at < count; at += stride) {
        const Words words = kernels::cuda::load_once(from + at);
        sum |= words.word[0] ^ words.word[1] ^ words.word[2] ^ words.word[3];
    }
    if (sum == 0x12345678u) *never = sum;
}

// Independent products, enough to keep a matrix unit busy; operands stay in registers.
constexpr int kChains = 8;
constexpr int kTurns = 4096;
constexpr double kMacs = 16.0 * 8 * 32;  // of one instruction

__global__ void multiply_all(int32_t* never) {
    uint32_t a[4];
    uint32_t b[2];
    for (int i = 0; i < 4; ++i)
        a[i] = threadIdx.x + static_cast<uint32_t>(i);
    for (int i = 0; i < 2; ++i)
        b[i] = blockIdx.x + static_cast<uint32_t>(i);
    int32_t sums[kChains][4] = {};
    for (int turn = 0; turn < kTurns; ++turn) {
#pragma unroll
        for (int chain = 0; chain < kChains; ++chain)
            kernels::cuda::multiply_16x8x32(sums[chain], a, b);
    }
    int32_t sum = 0;
    for (int chain = 0; chain < kChains; ++chain)
        sum ^= sums[chain][0] ^ sums[chain][1] ^ sums[chain][2] ^ sums[chain][3];
    if (sum == 0x12345678) *never = sum;
}

Result<void> check(cudaError_t error) {
    if (error == cudaSuccess) return {};
    return Error{ErrorCode::kUnavailable,
                 std::string("measure the GPU: ") + cudaGetErrorString(error)};
}

// Memory and events of a measurement.
struct Scratch {
    void* memory = nullptr;
    uint32_t* never = nullptr;
    cudaEvent_t begun = nullptr;
    cudaEvent_t ended = nullptr;

    Result<void> make() {
        BITNETD_TRY(check(cudaMalloc(&memory, kReadBytes)));
        BITNETD_TRY(check(cudaMalloc(&never, sizeof *never)));
        BITNETD_TRY(check(cudaMemset(memory, 1, kReadBytes)));
        BITNETD_TRY(check(cudaEventCreate(&begun)));
        return check(cudaEventCreate(&ended));
    }
    ~Scratch() {
        cudaFree(memory);
        cudaFree(never);
        if (begun != nullptr) cudaEventDestroy(begun);
        if (ended != nullptr) cudaEventDestroy(ended);
    }
};

// Seconds of what `launch` puts on the default stream: the median of `runs`, after one more.
template <typename Launch>
Result<double> time(const Scratch& scratch, int runs, Launch launch) {
    std::vector<double> seconds;
    for (int i = 0; i <= runs; ++i) {
        BITNETD_TRY(check(cudaEventRecord(scratch.begun)));
        launch();
        BITNETD_TRY(check(cudaGetLastError()));
        BITNETD_TRY(check(cudaEventRecord(scratch.ended)));
        BITNETD_TRY(check(cudaEventSynchronize(scratch.ended)));
        float ms = 0;
        BITNETD_TRY(check(cudaEventElapsedTime(&ms, scratch.begun, scratch.ended)));
        if (i > 0) seconds.push_back(static_cast<double>(ms) / 1e3);
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[seconds.size() / 2];
}

}  // namespace

Result<GpuLimits> measure_gpu(int runs) {
    int device = 0;
    int processors = 0;
    BITNETD_TRY(check(cudaGetDevice(&device)));
    BITNETD_TRY(check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device)));
    Scratch scratch;
    BITNETD_TRY(scratch.make());
    const auto blocks = static_cast<unsigned>(processors * kBlocksEach);
    BITNETD_ASSIGN(const double read_s, time(scratch, runs, [&] {
                       read_all<<<blocks, kThreads>>>(static_cast<const Words*>(scratch.memory),
                                                      kReadBytes / sizeof(Words), scratch.never);
                   }));
    BITNETD_ASSIGN(
        const double multiply_s, time(scratch, runs, [&] {
            multiply_all<<<blocks, kThreads>>>(reinterpret_cast<int32_t*>(scratch.never));
        }));
    const double products = double{kMacs} * kChains * kTurns * blocks * kThreads / kWarp;
    return GpuLimits{static_cast<double>(kReadBytes) / read_s / 1e9, products / multiply_s / 1e9};
}

}  // namespace bitnetd::bench
