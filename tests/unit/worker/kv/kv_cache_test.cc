// Goal: pages lie apart in the arena, are told of before their first use, and are copied whole.
// Method: a small arena; addresses and bytes compared.
#include "worker/kv/kv_cache.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "worker/model/aligned_array.h"

namespace bitnetd::worker {
namespace {

class KvCacheTest : public ::testing::Test {
  protected:
    static constexpr uint32_t kPages = 8;

    uint64_t offset_of(std::byte* page) const {
        return static_cast<uint64_t>(page - arena_.span().data());
    }

    KvLayout layout_{KvShape{.layers = 2, .kv_heads = 2, .head_dim = 16, .type = KvType::kF32}};
    AlignedArray<std::byte> arena_{layout_.page_bytes() * kPages + 100};
    uint64_t grown_ = 0;
    KvCache cache_{layout_, arena_.span(), /*slots_max=*/4, /*context_max=*/8 * kPageTokens,
                   [this](uint64_t end) { grown_ = end; }};
};

TEST_F(KvCacheTest, PagesLieApartWithinTheArena) {
    EXPECT_EQ(cache_.pages().pages_total(), kPages);
    std::set<uint64_t> offsets;
    for (uint32_t slot = 0; slot < 4; ++slot) {
        ASSERT_TRUE(cache_.pages().grow(slot, 2 * kPageTokens));
        std::byte* const* table = cache_.table(slot);
        for (uint32_t i = 0; i < 2; ++i) {
            EXPECT_EQ(offset_of(table[i]) % layout_.page_bytes(), 0u);
            EXPECT_LE(offset_of(table[i]) + layout_.page_bytes(), arena_.span().size());
            offsets.insert(offset_of(table[i]));
        }
    }
    EXPECT_EQ(offsets.size(), kPages);
    EXPECT_FALSE(cache_.pages().grow(0, 3 * kPageTokens));
}

TEST_F(KvCacheTest, TellsHowFarTheArenaIsUsedBeforeItIs) {
    ASSERT_TRUE(cache_.pages().grow(0, 2 * kPageTokens));
    cache_.table(0);
    EXPECT_EQ(grown_, 2 * layout_.page_bytes());
    cache_.pages().release(0);
    ASSERT_TRUE(cache_.pages().grow(1, kPageTokens));
    cache_.table(1);
    EXPECT_EQ(grown_, 2 * layout_.page_bytes()) << "a page that was used before comes first";
}

TEST_F(KvCacheTest, TakesNoMorePagesThanTheSlotsCanUse) {
    const KvCache small(layout_, arena_.span(), 2, 2 * kPageTokens);
    EXPECT_EQ(small.pages().pages_total(), 4u);
}

TEST_F(KvCacheTest, CopiesWholePages) {
    std::vector<uint32_t> ids(kPageTokens, 7);
    KvPages& pages = cache_.pages();
    ASSERT_TRUE(pages.grow(0, 20));
    std::byte* const from = cache_.table(0)[0];
    std::fill(from, from + layout_.page_bytes(), std::byte{42});
    pages.fill(0, 0, std::span(ids).first(20));
    EXPECT_EQ(pages.reuse_part(1, 0, std::span(ids).first(12)), 12u);
    cache_.copy_pages();
    std::byte* const to = cache_.table(1)[0];
    ASSERT_NE(to, from);
    EXPECT_TRUE(std::equal(to, to + layout_.page_bytes(), from));
    EXPECT_TRUE(pages.copies().empty());
}

// A device's arena: only addresses, at which nothing of ours lies.
TEST_F(KvCacheTest, CopiesOtherMemoryAsToldTo) {
    struct Told {
        std::byte* to;
        const std::byte* from;
        uint64_t bytes;
    };
    std::vector<Told> told;
    auto* const base = reinterpret_cast<std::byte*>(uintptr_t{1} << 40);
    KvCache cache(layout_, {base, layout_.page_bytes() * kPages}, 4, 8 * kPageTokens, {},
                  [&](std::byte* to, const std::byte* from, uint64_t bytes) {
                      told.push_back({to, from, bytes});
                  });
    std::vector<uint32_t> ids(kPageTokens, 7);
    ASSERT_TRUE(cache.pages().grow(0, 20));
    std::byte* const from = cache.table(0)[0];
    cache.pages().fill(0, 0, std::span(ids).first(20));
    EXPECT_EQ(cache.pages().reuse_part(1, 0, std::span(ids).first(12)), 12u);
    cache.copy_pages();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0].to, cache.table(1)[0]);
    EXPECT_EQ(told[0].from, from);
    EXPECT_EQ(told[0].bytes, layout_.page_bytes());
    EXPECT_EQ(cache.table(1), cache.tables().data() + cache.table_pages());
}

}  // namespace
}  // namespace bitnetd::worker
