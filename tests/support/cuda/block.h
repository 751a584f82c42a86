// The execution model of CUDA on one thread of the CPU: the blocks of a launch one after the other,
// the threads of a block as fibers that meet at barriers and warp operations. Between meetings a
// thread runs alone; in which order is arbitrary, and set_thread_order() changes it, so that what
// lacks a barrier gives another result. What a device would leave undefined ends the process with
// a line that says what: a thread that returned while others wait for it, lanes in different
// operations, a misaligned address, a launch that no device takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "worker/kernels/cuda/device_ops.cuh"

namespace bitnetd::kernels::cuda_emulated {

// What a block may have on the smallest device (sm_75), and any device's limit for y and z.
inline constexpr size_t kSharedBytesMax = 64 * 1024;
inline constexpr int32_t kThreadsMax = 1024;
inline constexpr uint32_t kGridYMax = 65535;

struct Shape {
    cuda::Grid grid;
    int32_t threads;
    size_t shared_bytes;
};

// Runs body() once for each thread of each block.
void run_blocks(const Shape& shape, const std::function<void()>& body);

// Of the threads of later launches, on this thread of the CPU. 0: by rising index.
void set_thread_order(uint32_t order);
// Launches so far, of all threads of the CPU.
uint64_t launches_run();

[[noreturn]] void refuse(const char* what);

// Where the thread that runs stands.
struct Here {
    int32_t thread = 0;
    int32_t threads = 0;
    int32_t block_x = 0;
    int32_t block_y = 0;
    int32_t block_z = 0;
    int32_t grid_x = 0;
    std::byte* shared = nullptr;
};
inline constinit thread_local Here here{};

enum class Meeting : uint8_t {
    kNone,
    kBarrier,
    kShuffleXor,
    kShuffle,
    kBallot,
    kMultiply,
    kLoadMatrices,
};
// What the lanes of a warp bring to a meeting, and where they want its result.
struct Lanes {
    Meeting meeting = Meeting::kNone;
    uint32_t arrived = 0;  // bit l: lane l
    const void* in[cuda::kWarp];
    void* out[cuda::kWarp];
};

void meet_block();
// The warp's lanes, complete, for the last to come: it computes all results, then release_warp().
// Null for the others, whose results are there.
Lanes* meet_warp(Meeting meeting, const void* in, void* out);
void release_warp();

// Of the thread that runs. A copy is carried out when it is waited for; before that there is
// garbage.
void start_copy(void* to, const void* from, bool valid);
void commit_copies();
void wait_copies(uint32_t newest);

}  // namespace bitnetd::kernels::cuda_emulated
