// Goal: the page layout is what the attention kernels read, and pages are never shared, lost or
// handed out twice.
// Method: offsets written out by hand for an odd shape; random reserve and release against a set.
#include "worker/kv/kv_cache.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <random>
#include <set>

namespace bitnetd::worker {
namespace {

TEST(KvLayout, PadsHeadsAndPutsLayersOneBehindTheOther) {
    const KvLayout layout({.layers = 3, .kv_heads = 2, .head_dim = 20, .type = KvType::kF32});
    EXPECT_EQ(layout.head_dim_padded(), 32u);
    constexpr uint64_t kHalf = 2 * kPageTokens * 32 * 4;  // heads, positions, padded, bytes
    EXPECT_EQ(layout.k_offset(0), 0u);
    EXPECT_EQ(layout.v_offset(0), kHalf);
    EXPECT_EQ(layout.k_offset(2), 4 * kHalf);
    EXPECT_EQ(layout.page_bytes(), 6 * kHalf);
    EXPECT_EQ(layout.row_offset(1, kPageTokens + 5), (kPageTokens + 5) * 32 * 4);
    EXPECT_EQ(layout.sequence_pages(kPageTokens), 1u);
    EXPECT_EQ(layout.sequence_pages(kPageTokens + 1), 2u);
}

TEST(KvLayout, HalfPrecisionTakesHalf) {
    const KvShape shape = {.layers = 3, .kv_heads = 2, .head_dim = 64, .type = KvType::kF32};
    KvShape half = shape;
    half.type = KvType::kF16;
    EXPECT_EQ(KvLayout(half).page_bytes() * 2, KvLayout(shape).page_bytes());
}

class KvCacheTest : public ::testing::Test {
  protected:
    KvLayout layout_{{.layers = 1, .kv_heads = 1, .head_dim = 16, .type = KvType::kF16}};
    std::vector<std::byte> arena_ = std::vector<std::byte>(layout_.page_bytes() * 10 + 17);
    KvCache cache_{layout_, arena_, /*slots_max=*/4, /*context_max=*/8 * kPageTokens};
};

TEST_F(KvCacheTest, TellsHowFarTheArenaIsUsedBeforeItIs) {
    uint64_t grown = 0;
    KvCache cache(layout_, arena_, 4, 8 * kPageTokens, [&](uint64_t end) { grown = end; });
    EXPECT_EQ(grown, 0u);
    const auto expect_covered = [&](uint32_t slot, uint32_t pages) {
        for (uint32_t i = 0; i < pages; ++i) {
            const auto end =
                static_cast<uint64_t>(cache.pages(slot)[i] - arena_.data()) + layout_.page_bytes();
            EXPECT_LE(end, grown) << "page " << i;
        }
    };
    ASSERT_TRUE(cache.reserve(0, 2 * kPageTokens));
    expect_covered(0, 2);
    EXPECT_EQ(grown, 2 * layout_.page_bytes());
    cache.release(0);
    ASSERT_TRUE(cache.reserve(1, 3 * kPageTokens));
    expect_covered(1, 3);
    EXPECT_EQ(grown, 3 * layout_.page_bytes()) << "what was used before is used again";
}

TEST_F(KvCacheTest, GivesWhatWasAskedOrNothing) {
    EXPECT_EQ(cache_.pages_total(), 10u);
    EXPECT_TRUE(cache_.reserve(0, 7 * kPageTokens + 1));
    EXPECT_EQ(cache_.pages_free(), 2u);
    EXPECT_FALSE(cache_.reserve(1, 2 * kPageTokens + 1));
    EXPECT_EQ(cache_.pages_free(), 2u);
    EXPECT_TRUE(cache_.reserve(1, 2 * kPageTokens));
    cache_.release(0);
    cache_.release(0);  // releasing nothing is harmless
    EXPECT_EQ(cache_.pages_free(), 8u);
}

TEST_F(KvCacheTest, TakesNoMorePagesThanTheSlotsCanUse) {
    const KvCache small(layout_, arena_, 2, 2 * kPageTokens);
    EXPECT_EQ(small.pages_total(), 4u);
}

TEST_F(KvCacheTest, RandomUseNeverSharesAPage) {
    constexpr uint64_t kSeed = 7;
    std::printf("seed %lu\n", kSeed);
    std::mt19937_64 random(kSeed);
    std::map<uint32_t, uint32_t> held;  // slot -> pages
    for (int i = 0; i < 5000; ++i) {
        const auto slot = static_cast<uint32_t>(random() % 4);
        if (held.contains(slot)) {
            cache_.release(slot);
            held.erase(slot);
        } else if (const auto tokens = static_cast<uint32_t>(1 + random() % (8 * kPageTokens));
                   cache_.reserve(slot, tokens)) {
            held[slot] = static_cast<uint32_t>(layout_.sequence_pages(tokens));
        }
        std::set<const std::byte*> pages;
        uint32_t count = 0;
        for (const auto& [owner, page_count] : held) {
            for (uint32_t p = 0; p < page_count; ++p) {
                const std::byte* page = cache_.pages(owner)[p];
                ASSERT_EQ((page - arena_.data()) % static_cast<int64_t>(layout_.page_bytes()), 0);
                ASSERT_LE(page + layout_.page_bytes(), arena_.data() + arena_.size());
                pages.insert(page);
                ++count;
            }
        }
        ASSERT_EQ(pages.size(), count);
        ASSERT_EQ(cache_.pages_free() + count, cache_.pages_total());
    }
}

}  // namespace
}  // namespace bitnetd::worker
