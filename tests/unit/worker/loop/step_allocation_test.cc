// Goal: serving allocates nothing, on any thread: no request, step, guess or record waits for an
// allocator that another thread holds, or fails for want of memory. Only what scores and embeddings
// need is allocated, when such a request is taken in.
// Method: this program's operator new counts while a turn of the loop runs. Requests of all kinds
// come in pieces, run in one batch, are cancelled and end; in every mode of speculation.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/support/worker/loop_fixture.h"

namespace {

std::atomic<bool> g_counts{false};
std::atomic<uint64_t> g_allocations{0};

void* allocate(size_t bytes, size_t alignment) {
    if (g_counts.load(std::memory_order_relaxed)) g_allocations.fetch_add(1);
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes) != 0) throw std::bad_alloc();
    return memory;
}

}  // namespace

void* operator new(size_t bytes) {
    return allocate(bytes, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
    try {
        return operator new(bytes);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    try {
        return operator new(bytes, alignment);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void* operator new[](size_t bytes) {
    return operator new(bytes);
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
    return operator new(bytes, alignment);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, size_t, std::align_val_t) noexcept {
    std::free(memory);
}

namespace bitnetd::worker {
namespace {

using test::FakeFrontend;
using test::LoopFixture;
using test::Request;

bool turn_and_count(StepLoop& loop) {
    g_counts.store(true);
    const bool busy = loop.turn();
    g_counts.store(false);
    return busy;
}

Request request_of(uint64_t flight) {
    Request request;
    request.flight = flight;
    request.ids = LoopFixture::prompt(20 + static_cast<uint32_t>(flight) * 5, flight);
    request.new_tokens = 40;
    SamplingParams& sampling = request.sampling;
    sampling.wants_logprobs = flight % 2 == 0;
    sampling.alternatives_count = sampling.wants_logprobs ? 20 : 0;
    if (flight % 3 == 0) sampling.temperature = 0;
    if (flight % 4 == 1) sampling.top_k = 5, sampling.min_p = 0.01f;
    if (flight % 4 == 2) sampling.top_p = 0.9f, sampling.typical_p = 0.9f;
    if (flight % 4 == 3) sampling.frequency_penalty = 0.1f, sampling.ignore_eos = true;
    if (flight % 5 == 0) request.bias = {{11, 100}};  // repeats itself, so drafts are right
    return request;
}

void serve(SpeculationMode mode) {
    LoopFixture fixture(
        {.step_tokens_max = 48, .threads = 2, .end_ids = {3}, .speculation = {mode, 8}});
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    fixture.loop().turn();  // the first look at the control socket allocates what it reads into
    g_allocations = 0;
    for (uint64_t flight = 1; flight <= 10; ++flight) {
        frontend.submit(request_of(flight), 16);
        turn_and_count(fixture.loop());
        frontend.listen();
    }
    frontend.cancel(4);
    while (turn_and_count(fixture.loop()))
        frontend.listen();
    frontend.listen();
    for (const uint64_t flight : {1u, 2u, 3u, 5u, 10u})
        EXPECT_TRUE(frontend.heard(flight).is_finished());
    if (mode == SpeculationMode::kOn) {
        EXPECT_GT(fixture.board().counter(Counter::kDraftsAccepted), 30u);
    }
    EXPECT_EQ(g_allocations.load(), 0u);
}

Request asking_of_its_prompt(uint64_t flight, uint32_t flags) {
    Request request;
    request.flight = flight;
    request.ids = LoopFixture::prompt(100, flight);
    request.new_tokens = 0;
    request.flags = flags;
    request.sampling.alternatives_count = 20;
    return request;
}

TEST(StepAllocation, CountsWhatIsAllocated) {
    g_allocations = 0;
    g_counts.store(true);
    std::vector<int> values(100);
    g_counts.store(false);
    EXPECT_EQ(g_allocations.load(), 1u) << values.size();
}

TEST(StepAllocation, ServingAllocatesNothing) {
    serve(SpeculationMode::kOff);
    serve(SpeculationMode::kOn);
    serve(SpeculationMode::kAuto);
}

TEST(StepAllocation, ScoresAndEmbeddingsAllocateBeforeTheirSteps) {
    LoopFixture fixture({.step_tokens_max = 48, .threads = 2});
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    const Request asking[] = {asking_of_its_prompt(1, shm::kScorePrompt),
                              asking_of_its_prompt(2, shm::kWantEmbedding)};
    for (const Request& request : asking)
        frontend.begin(request, 1);
    fixture.loop().turn();
    for (const Request& request : asking)
        frontend.go_on(request, 1);
    g_allocations = 0;
    while (turn_and_count(fixture.loop()))
        frontend.listen();
    frontend.listen();
    EXPECT_TRUE(frontend.heard(1).is_finished());
    EXPECT_TRUE(frontend.heard(2).is_finished());
    EXPECT_EQ(g_allocations.load(), 0u);
}

}  // namespace
}  // namespace bitnetd::worker
