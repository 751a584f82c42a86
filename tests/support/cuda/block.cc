#include "tests/support/cuda/block.h"

#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/support/cuda/fiber.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

constexpr int32_t kWarp = cuda::kWarp;
constexpr int kGarbage = 0xa5;
constexpr size_t kCopyBytes = 16;

std::atomic<uint64_t> launches{0};

struct Copy {
    void* to;
    const void* from;  // null: zeros
    int64_t group;
};

// A thread of the block, over many blocks.
struct Thread {
    explicit Thread(size_t index) : fiber(index) {}
    Fiber fiber;
    std::vector<Copy> copies;
    int64_t group = 0;
};

struct Warp {
    uint32_t ready = 0;  // bit l: the lane at place l can run
    uint32_t returned = 0;
    Lanes lanes;
};

struct AlignedDelete {
    void operator()(std::byte* memory) const { std::free(memory); }
};

// The threads of one thread of the CPU, used again by block after block.
class Multiprocessor {
  public:
    void run(const Shape& shape, const std::function<void()>& body);
    void set_order(uint32_t order) { order_ = order; }

    void meet_block();
    Lanes* meet_warp(Meeting meeting, const void* in, void* out);
    void release_warp();
    Thread& thread() { return threads_[static_cast<size_t>(here.thread)]; }

  private:
    static void entry();
    void run_block();
    void thread_main();
    // Gives way to another thread until this one is ready again.
    void wait();
    int32_t next_thread();
    int32_t take_lane(int32_t warp, uint32_t from_place);
    Warp& warp() { return warps_[static_cast<size_t>(here.thread / kWarp)]; }
    int32_t warp_count() const { return here.threads / kWarp; }
    // Lanes run by rising place.
    uint32_t place_of(int32_t thread) const {
        return static_cast<uint32_t>(thread % kWarp) ^ lane_flip();
    }
    uint32_t lane_flip() const { return order_ % kWarp; }
    uint32_t ready_bit(int32_t thread) const { return 1u << place_of(thread); }

    Fiber outside_;
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    const std::function<void()>* body_ = nullptr;
    uint32_t order_ = 0;
    int32_t running_ = 0;  // threads that have not returned
    int32_t at_barrier_ = 0;
};

Multiprocessor& multiprocessor() {
    static thread_local Multiprocessor one;
    return one;
}

void check_shape(const Shape& shape) {
    if (shape.threads < kWarp || shape.threads > kThreadsMax || shape.threads % kWarp != 0)
        refuse("a block has 32 to 1024 threads, a multiple of 32");
    if (shape.shared_bytes > kSharedBytesMax)
        refuse("a block has at most 64 KiB of dynamic shared memory on sm_75");
    if (shape.grid.x > INT32_MAX || shape.grid.y > kGridYMax || shape.grid.z > kGridYMax)
        refuse("a grid has at most 2^31 - 1 blocks along x, 65535 along y and z");
}

void Multiprocessor::run(const Shape& shape, const std::function<void()>& body) {
    if (running_ != 0) refuse("a kernel launches a kernel");
    const size_t bytes = (shape.shared_bytes + 15) / 16 * 16;
    // Of exactly that size, so that a sanitizer sees what is beyond it.
    const std::unique_ptr<std::byte, AlignedDelete> shared(
        bytes == 0 ? nullptr : static_cast<std::byte*>(std::aligned_alloc(16, bytes)));
    while (threads_.size() < static_cast<size_t>(shape.threads))
        threads_.emplace_back(threads_.size());
    warps_.resize(static_cast<size_t>(shape.threads / kWarp));
    body_ = &body;
    here = {};
    here.threads = shape.threads;
    here.grid_x = static_cast<int32_t>(shape.grid.x);
    here.shared = shared.get();
    for (uint32_t z = 0; z < shape.grid.z; ++z) {
        for (uint32_t y = 0; y < shape.grid.y; ++y) {
            for (uint32_t x = 0; x < shape.grid.x; ++x) {
                if (bytes != 0) std::memset(shared.get(), kGarbage, bytes);
                here.block_x = static_cast<int32_t>(x);
                here.block_y = static_cast<int32_t>(y);
                here.block_z = static_cast<int32_t>(z);
                run_block();
            }
        }
    }
    here = {};
}

void Multiprocessor::run_block() {
    for (Warp& warp : warps_) {
        warp.ready = UINT32_MAX;
        warp.returned = 0;
        warp.lanes.arrived = 0;
    }
    for (int32_t i = 0; i < here.threads; ++i)
        threads_[static_cast<size_t>(i)].fiber.restart(entry);
    running_ = here.threads;
    at_barrier_ = 0;
    // The high bits of the order choose the first warp.
    const auto first = static_cast<int32_t>(order_ / kWarp % static_cast<uint32_t>(warp_count()));
    here.thread = take_lane(first, 0);
    Fiber::go(outside_, thread().fiber, false);
}

void Multiprocessor::entry() {
    multiprocessor().thread_main();
}

void Multiprocessor::thread_main() {
    thread().fiber.arrived();
    (*body_)();
    if (!thread().copies.empty()) refuse("a thread returned before its copies were waited for");
    if (at_barrier_ != 0) refuse("a thread returned while others wait at a block barrier");
    if (warp().lanes.arrived != 0) refuse("a lane returned while others of its warp wait for it");
    warp().ready &= ~ready_bit(here.thread);
    warp().returned |= ready_bit(here.thread);
    Fiber& fiber = thread().fiber;
    if (--running_ == 0) {
        Fiber::go(fiber, outside_, true);
    } else {
        here.thread = next_thread();
        Fiber::go(fiber, thread().fiber, true);
    }
    refuse("a thread that returned runs again");
}

void Multiprocessor::wait() {
    warp().ready &= ~ready_bit(here.thread);
    const int32_t self = here.thread;
    here.thread = next_thread();
    Fiber::go(threads_[static_cast<size_t>(self)].fiber, thread().fiber, false);
}

// The lanes of a warp take turns until all wait, so that most meetings cost one switch a lane.
int32_t Multiprocessor::next_thread() {
    const int32_t self = here.thread / kWarp;
    if (warp().ready != 0) return take_lane(self, place_of(here.thread) + 1);
    const int32_t step = order_ % 2 == 0 ? 1 : warp_count() - 1;
    for (int32_t i = 1; i < warp_count(); ++i) {
        const int32_t other = static_cast<int32_t>((self + int64_t{i} * step) % warp_count());
        if (warps_[static_cast<size_t>(other)].ready != 0) return take_lane(other, 0);
    }
    refuse("all threads of a block wait: for others that wait elsewhere");
}

int32_t Multiprocessor::take_lane(int32_t warp, uint32_t from_place) {
    const uint32_t ready = warps_[static_cast<size_t>(warp)].ready;
    const uint32_t after = from_place < kWarp ? ready >> from_place << from_place : 0;
    const auto place = static_cast<uint32_t>(std::countr_zero(after != 0 ? after : ready));
    return warp * kWarp + static_cast<int32_t>(place ^ lane_flip());
}

void Multiprocessor::meet_block() {
    if (running_ != here.threads) refuse("a block barrier, and a thread has returned before it");
    if (++at_barrier_ != here.threads) return wait();
    at_barrier_ = 0;
    for (Warp& one : warps_)
        one.ready = UINT32_MAX;
}

Lanes* Multiprocessor::meet_warp(Meeting meeting, const void* in, void* out) {
    Lanes& lanes = warp().lanes;
    if (warp().returned != 0) refuse("an operation of a warp of which a lane has returned");
    if (lanes.arrived != 0 && lanes.meeting != meeting)
        refuse("lanes of a warp are in different operations");
    const auto lane = static_cast<uint32_t>(here.thread % kWarp);
    lanes.meeting = meeting;
    lanes.in[lane] = in;
    lanes.out[lane] = out;
    lanes.arrived |= 1u << lane;
    if (lanes.arrived == UINT32_MAX) return &lanes;
    wait();
    return nullptr;
}

void Multiprocessor::release_warp() {
    warp().lanes.arrived = 0;
    warp().ready = UINT32_MAX;
}

}  // namespace

void run_blocks(const Shape& shape, const std::function<void()>& body) {
    check_shape(shape);
    multiprocessor().run(shape, body);
    launches.fetch_add(1, std::memory_order_relaxed);
}

void set_thread_order(uint32_t order) {
    multiprocessor().set_order(order);
}

uint64_t launches_run() {
    return launches.load(std::memory_order_relaxed);
}

void refuse(const char* what) {
    std::fprintf(stderr, "emulated CUDA: %s (block %d, %d, %d, thread %d of %d)\n", what,
                 here.block_x, here.block_y, here.block_z, here.thread, here.threads);
    std::abort();
}

void meet_block() {
    multiprocessor().meet_block();
}
Lanes* meet_warp(Meeting meeting, const void* in, void* out) {
    return multiprocessor().meet_warp(meeting, in, out);
}
void release_warp() {
    multiprocessor().release_warp();
}

void start_copy(void* to, const void* from, bool valid) {
    Thread& thread = multiprocessor().thread();
    if (reinterpret_cast<uintptr_t>(to) % kCopyBytes != 0 ||
        (valid && reinterpret_cast<uintptr_t>(from) % kCopyBytes != 0))
        refuse("a copy to shared memory needs addresses that are multiples of 16");
    std::memset(to, kGarbage, kCopyBytes);
    thread.copies.push_back({to, valid ? from : nullptr, thread.group});
}

void commit_copies() {
    ++multiprocessor().thread().group;
}

void wait_copies(uint32_t newest) {
    Thread& thread = multiprocessor().thread();
    const int64_t before = thread.group - newest;
    size_t kept = 0;
    for (const Copy& copy : thread.copies) {
        if (copy.group >= before) {
            thread.copies[kept++] = copy;
        } else if (copy.from == nullptr) {
            std::memset(copy.to, 0, kCopyBytes);
        } else {
            std::memcpy(copy.to, copy.from, kCopyBytes);
        }
    }
    thread.copies.resize(kept);
}

}  // namespace bitnetd::kernels::cuda_emulated
