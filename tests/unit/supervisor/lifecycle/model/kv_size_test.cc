// Goal: the KV arena fits its model, its setting and the machine, and no arithmetic overflows.
// Method: worked examples; extreme facts.
#include "supervisor/lifecycle/model/kv_size.h"

#include <gtest/gtest.h>

#include "shm/segment/segment.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

shm::ModelFacts two_billion() {
    shm::ModelFacts facts{};
    facts.layers = 30;
    facts.kv_heads = 5;
    facts.head_dim = 128;
    facts.context = 4096;
    return facts;
}

TEST(KvSize, TokenOfTheTwoBillionModel) {
    Params params;
    params.kv_type = "f16";
    // 2 * 30 layers * 5 heads * 128 * 2 bytes
    EXPECT_EQ(kv_size(params, two_billion(), 64 * 1024 * kMiB, 1).token_bytes, 76'800u);
    params.kv_type = "f32";
    EXPECT_EQ(kv_size(params, two_billion(), 64 * 1024 * kMiB, 1).token_bytes, 153'600u);
    params.kv_type = "int8";
    // 2 * 30 layers * 5 heads * (128 bytes and a scale of 4)
    EXPECT_EQ(kv_size(params, two_billion(), 64 * 1024 * kMiB, 1).token_bytes, 39'600u);
}

TEST(KvSize, HeadsArePadded) {
    Params params;
    shm::ModelFacts facts = two_billion();
    facts.head_dim = 20;
    EXPECT_EQ(kv_size(params, facts, 0, 1).token_bytes, 2u * 30 * 5 * 32 * 4);
}

TEST(KvSize, WhatIsFreeIsSplitOverTheWorkersWithRoomForARoll) {
    Params params;
    shm::ModelFacts facts = two_billion();
    facts.weights_bytes = 1500 * kMiB;
    const KvSize size = kv_size(params, facts, 20'000 * kMiB, 2);
    EXPECT_EQ(size.bytes, 5'500 * kMiB);  // three of them, the weights again, a tenth of all
    EXPECT_GT(size.wanted_bytes, size.bytes);
    EXPECT_EQ(kv_size(params, facts, 1'000 * kMiB, 2).bytes, shm::kHugePageBytes);
}

TEST(KvSize, SmallModelTakesOnlyWhatItCanUse) {
    Params params;
    params.worker_slots_max = 2;
    params.kv_context_max = 128;
    const KvSize size = kv_size(params, two_billion(), 64 * 1024 * kMiB, 1);
    EXPECT_EQ(size.wanted_bytes, 153'600u * 128 * 2);
    EXPECT_EQ(size.bytes % shm::kHugePageBytes, 0u);
    EXPECT_GE(size.bytes, size.wanted_bytes);
    EXPECT_LT(size.bytes, size.wanted_bytes + shm::kHugePageBytes);
}

TEST(KvSize, SettingWinsOverEverything) {
    Params params;
    params.kv_bytes = 3 * kMiB;
    EXPECT_EQ(kv_size(params, two_billion(), 1, 64).bytes, 4 * kMiB);
}

TEST(KvSize, ExtremesSaturate) {
    Params params;
    params.worker_slots_max = 512;
    shm::ModelFacts facts{};
    facts.layers = 512;
    facts.kv_heads = 65'536;
    facts.head_dim = 512;
    facts.context = 1u << 24;
    const KvSize size = kv_size(params, facts, UINT64_MAX, 1);
    EXPECT_EQ(size.bytes, shm::kSegmentBytesMax);
    EXPECT_EQ(kv_size(params, facts, 0, 1).bytes, shm::kHugePageBytes);
}

TEST(KvSize, ThisMachineHasMemory) {
    EXPECT_GT(available_memory_bytes(), 0u);
}

}  // namespace
}  // namespace bitnetd::supervisor
