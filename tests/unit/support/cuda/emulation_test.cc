// Goal: the emulation of CUDA computes what a device would, and stops a kernel that a device would
//       let go wrong: otherwise the comparisons of kernels with the reference prove nothing.
// Method: small kernels with each operation, in every order of threads, against plain loops; then
//       kernels with one mistake each, which give another result or end the process with its name.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "worker/kernels/cuda/device_ops.cuh"
// The operations come before the kernels that use them.
#include "tests/support/cuda/emulated_ops.h"

namespace bitnetd::kernels::cuda {
namespace {

constexpr int32_t kThreads = 96;
constexpr uint32_t kOrders = 70;

// Each order of threads, then the first again.
template <typename Check>
void in_every_order(const Check& check) {
    for (uint32_t order = 0; order < kOrders; ++order) {
        cuda_emulated::set_thread_order(order);
        check();
    }
    cuda_emulated::set_thread_order(0);
}

void places_kernel(int32_t* out) {
    const int32_t block = (block_z() * 3 + block_y()) * grid_x() + block_x();
    out[block * thread_count() + thread_index()] +=
        1000 * block + warp_index() * kWarp + lane_index();
}

TEST(CudaEmulation, EveryThreadOfEveryBlockRunsOnce) {
    in_every_order([] {
        CUstream_st stream;
        std::vector<int32_t> out(2 * 3 * 4 * kThreads);
        launch(&stream, {4, 3, 2}, kThreads, 0, places_kernel, out.data());
        for (size_t i = 0; i < out.size(); ++i)
            ASSERT_EQ(out[i], static_cast<int32_t>(i / kThreads * 1000 + i % kThreads));
    });
}

void rotate_kernel(const int32_t* in, int32_t* out, bool has_barrier) {
    BITNETD_SHARED int32_t shared[kThreads];
    auto* const more = reinterpret_cast<int32_t*>(dynamic_shared());
    for (int32_t round = 0; round < 3; ++round) {
        shared[thread_index()] = round == 0 ? in[thread_index()] : more[thread_index()];
        if (has_barrier) block_barrier();
        more[(thread_index() + 31) % kThreads] = shared[(thread_index() + 1) % kThreads];
        if (has_barrier) block_barrier();
    }
    out[thread_index()] = more[thread_index()];
}

std::vector<int32_t> rotated(bool has_barrier) {
    CUstream_st stream;
    std::vector<int32_t> in(kThreads);
    std::iota(in.begin(), in.end(), 100);
    std::vector<int32_t> out(kThreads);
    launch(&stream, {1}, kThreads, kThreads * sizeof(int32_t), rotate_kernel, in.data(), out.data(),
           has_barrier);
    return out;
}

TEST(CudaEmulation, ABarrierIsMetByAll) {
    in_every_order([] {
        const std::vector<int32_t> out = rotated(true);
        // Each round element i comes from i - 31 + 1.
        for (int32_t i = 0; i < kThreads; ++i)
            ASSERT_EQ(out[static_cast<size_t>(i)], 100 + (i + 3 * (kThreads - 30)) % kThreads);
    });
}

TEST(CudaEmulation, AMissingBarrierShowsInAnotherResult) {
    const std::vector<int32_t> right = rotated(true);
    in_every_order([&] { ASSERT_NE(rotated(false), right); });
}

void lanes_kernel(int32_t* xored, double* from, uint32_t* ballots) {
    const int32_t t = thread_index();
    xored[t] = shuffle_xor(t, 5);
    from[t] = shuffle(0.5 * t, (lane_index() + 3) % kWarp);
    ballots[t] = ballot(t % 3 == 0);
    warp_barrier();
}

TEST(CudaEmulation, LanesSeeEachOther) {
    in_every_order([] {
        CUstream_st stream;
        std::vector<int32_t> xored(kThreads);
        std::vector<double> from(kThreads);
        std::vector<uint32_t> ballots(kThreads);
        launch(&stream, {1}, kThreads, 0, lanes_kernel, xored.data(), from.data(), ballots.data());
        for (int32_t t = 0; t < kThreads; ++t) {
            const int32_t warp = t / kWarp * kWarp;
            uint32_t bits = 0;
            for (int32_t l = 0; l < kWarp; ++l)
                bits |= (warp + l) % 3 == 0 ? 1u << l : 0u;
            const auto at = static_cast<size_t>(t);
            ASSERT_EQ(xored[at], warp + (t % kWarp ^ 5));
            ASSERT_EQ(from[at], 0.5 * (warp + (t + 3) % kWarp));
            ASSERT_EQ(ballots[at], bits);
        }
    });
}

// Operands from shared memory, as a kernel has them: a by load_matrices(), b by hand.
void product_kernel(const int8_t* a, const int8_t* b, int32_t* out) {
    struct alignas(16) Row {
        int8_t value[32];
    };
    BITNETD_SHARED Row rows[16];
    for (int32_t i = lane_index(); i < 16 * 32; i += kWarp)
        rows[i / 32].value[i % 32] = a[i];
    warp_barrier();
    const int32_t g = lane_index() / 4;
    const int32_t t = lane_index() % 4;
    uint32_t left[4];
    load_matrices(left, &rows[lane_index() % 16].value[lane_index() / 16 * 16]);
    uint32_t right[2];
    std::memcpy(&right[0], b + g * 32 + 4 * t, 4);
    std::memcpy(&right[1], b + g * 32 + 16 + 4 * t, 4);
    int32_t sums[4] = {1, 2, 3, 4};
    multiply_16x8x32(sums, left, right);
    for (int32_t i = 0; i < 4; ++i)
        out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

TEST(CudaEmulation, AWarpMultipliesMatrices) {
    in_every_order([] {
        CUstream_st stream;
        std::vector<int8_t> a(16 * 32);
        std::vector<int8_t> b(8 * 32);
        for (size_t i = 0; i < a.size(); ++i)
            a[i] = static_cast<int8_t>(i * 37 % 256);
        for (size_t i = 0; i < b.size(); ++i)
            b[i] = static_cast<int8_t>(i * 91 % 256);
        std::vector<int32_t> out(16 * 8);
        launch(&stream, {1}, kWarp, 0, product_kernel, a.data(), b.data(), out.data());
        for (size_t row = 0; row < 16; ++row) {
            for (size_t column = 0; column < 8; ++column) {
                int32_t sum = static_cast<int32_t>(1 + column % 2 + row / 8 * 2);
                for (size_t k = 0; k < 32; ++k)
                    sum += a[row * 32 + k] * b[column * 32 + k];
                ASSERT_EQ(out[row * 8 + column], sum) << row << " " << column;
            }
        }
    });
}

TEST(CudaEmulation, WordsAreTakenApartAsOnADevice) {
    EXPECT_EQ(dot_4(0x80ff7f01, 0x80027f03, 5), 5 + 3 + 127 * 127 - 2 + 128 * 128);
    EXPECT_EQ(dot_4(0x01010101, 0x01010101, INT32_MAX), INT32_MIN + 3);
    EXPECT_EQ(select_bytes(0x33221100, 0x77665544, 0x7053), 0x77005533u);
}

// Copies of two groups; `waited` says for how many.
void copy_kernel(const Words* in, Words* early, Words* late, bool waits) {
    auto* const shared = reinterpret_cast<Words*>(dynamic_shared());
    const int32_t t = thread_index();
    copy_async(&shared[2 * t], &in[t], true);
    copy_commit();
    copy_async(&shared[2 * t + 1], nullptr, false);
    copy_commit();
    if (waits) copy_wait<1>();
    early[2 * t] = shared[2 * t];
    early[2 * t + 1] = shared[2 * t + 1];
    copy_wait<0>();
    late[2 * t] = shared[2 * t];
    late[2 * t + 1] = shared[2 * t + 1];
}

TEST(CudaEmulation, CopiesArriveWhenTheyAreWaitedFor) {
    const std::vector<Words> in(kWarp, Words{{1, 2, 3, 4}});
    const auto same = [](const Words& a, const Words& b) {
        return std::memcmp(&a, &b, sizeof a) == 0;
    };
    for (const bool waits : {false, true}) {
        CUstream_st stream;
        std::vector<Words> early(2 * kWarp);
        std::vector<Words> late(2 * kWarp);
        launch(&stream, {1}, kWarp, 2 * kWarp * sizeof(Words), copy_kernel, in.data(), early.data(),
               late.data(), waits);
        EXPECT_EQ(same(early[6], in[3]), waits);
        EXPECT_FALSE(same(early[7], Words{}));  // its group was not waited for
        EXPECT_TRUE(same(late[6], in[3]));
        EXPECT_TRUE(same(late[7], Words{}));
    }
}

void count_kernel(int32_t* counter) {
    if (thread_index() == 0) ++*counter;
}

TEST(CudaEmulation, AGraphRunsWhatWasCaptured) {
    CUstream_st stream;
    int32_t counter = 0;
    const uint64_t before = cuda_emulated::launches_run();
    stream.begin_capture();
    launch(&stream, {5}, kWarp, 0, count_kernel, &counter);
    launch(&stream, {2}, kWarp, 0, count_kernel, &counter);
    launch(&stream, {0}, kWarp, 0, count_kernel, &counter);
    const cuda_emulated::Graph graph = stream.end_capture();
    EXPECT_EQ(counter, 0);
    EXPECT_EQ(graph.size(), 2u);
    graph.run();
    graph.run();
    EXPECT_EQ(counter, 14);
    EXPECT_EQ(cuda_emulated::launches_run(), before + 4);
    launch(&stream, {1}, kWarp, 0, count_kernel, &counter);
    EXPECT_EQ(counter, 15);
}

void return_early_kernel() {
    if (thread_index() == 7) return;
    block_barrier();
}
void lane_missing_kernel() {
    if (lane_index() != 7) ballot(true);
}
void different_kernel() {
    if (lane_index() < 16) {
        shuffle(1, 0);
    } else {
        ballot(true);
    }
}
void cross_kernel() {
    if (warp_index() == 0 && lane_index() == 0) {
        block_barrier();
        warp_barrier();
    } else {
        warp_barrier();
        block_barrier();
    }
}
void misaligned_kernel(const std::byte* from) {
    load_constant(from + 8);
}
void unawaited_kernel(const Words* from) {
    copy_async(dynamic_shared(), from, thread_index() == 0);
}

TEST(CudaEmulationDeathTest, MistakesEndTheProcess) {
    CUstream_st stream;
    Words words{};
    const auto put = [&](void (*kernel)(), int32_t threads) {
        launch(&stream, {1}, threads, 0, kernel);
    };
    EXPECT_DEATH(put(return_early_kernel, kWarp), "has returned|while others wait");
    EXPECT_DEATH(put(lane_missing_kernel, kWarp), "lane (of a warp )?.*returned");
    EXPECT_DEATH(put(different_kernel, kWarp), "different operations");
    EXPECT_DEATH(put(cross_kernel, 2 * kWarp), "all threads of a block wait");
    EXPECT_DEATH(put(return_early_kernel, 33), "multiple of 32");
    EXPECT_DEATH(launch(&stream, {1}, kWarp, 70000, return_early_kernel), "64 KiB");
    EXPECT_DEATH(launch(&stream, {1, 70000}, kWarp, 0, return_early_kernel), "65535");
    EXPECT_DEATH(launch(&stream, {1}, kWarp, 0, misaligned_kernel,
                        reinterpret_cast<const std::byte*>(&words)),
                 "multiple of 16");
    EXPECT_DEATH(launch(&stream, {1}, kWarp, 16, unawaited_kernel, &words), "waited for");
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
