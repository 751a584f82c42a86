// Goal: what pages hold is found again exactly, the least recently used ones go first, and a page
// never goes before those behind it.
// Method: sequences of made-up ids over few pages, checked step by step.
#include "worker/kv/kv_pages.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitnetd::worker {
namespace {

constexpr uint32_t kTokens = 4;  // of a page

std::vector<uint32_t> text(uint32_t name, uint32_t count) {
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < count; ++i)
        ids.push_back(name * 100 + i);
    return ids;
}

class KvPagesTest : public ::testing::Test {
  protected:
    void compute(uint32_t slot, const std::vector<uint32_t>& ids, uint32_t first = 0) {
        ASSERT_TRUE(pages_.grow(slot, static_cast<uint32_t>(ids.size())));
        pages_.fill(slot, first, std::span(ids).subspan(first));
    }
    void leave_behind(const std::vector<uint32_t>& ids) {
        compute(0, ids, pages_.reuse_whole(0, 0, ids));
        pages_.release(0);
    }
    // How many of the ids are in whole pages of the cache.
    uint32_t found(const std::vector<uint32_t>& ids) {
        const uint32_t computed = pages_.reuse_whole(3, 0, ids);
        pages_.release(3);
        return computed;
    }

    KvPages pages_{/*pages_total=*/6, kTokens, /*slots_max=*/4, /*context_max=*/32};
};

TEST_F(KvPagesTest, AWholePageIsSharedAndAPartIsCopied) {
    compute(0, text(1, 10));
    EXPECT_EQ(pages_.reuse_whole(1, 0, text(1, 10)), 8u);
    EXPECT_EQ(pages_.of(1)[0], pages_.of(0)[0]);
    EXPECT_EQ(pages_.of(1)[1], pages_.of(0)[1]);
    EXPECT_EQ(pages_.reuse_part(1, 8, text(1, 10)), 10u);
    ASSERT_EQ(pages_.copies().size(), 1u);
    EXPECT_EQ(pages_.copies()[0].from, pages_.of(0)[2]);
    EXPECT_EQ(pages_.copies()[0].to, pages_.of(1)[2]);
    pages_.copies_done();
    EXPECT_EQ(pages_.available(), 2u);
}

TEST_F(KvPagesTest, AHitNeedsTheSamePrefixNotOnlyTheSameIds) {
    std::vector<uint32_t> ids = text(1, 8);
    leave_behind(ids);
    ids[0] = 999;
    EXPECT_EQ(found(ids), 0u);
    ids = text(1, 8);
    ids[6] = 999;
    EXPECT_EQ(found(ids), 4u);
}

TEST_F(KvPagesTest, TheLeastRecentlyUsedGoFirstAndPagesBeforeTheirParents) {
    leave_behind(text(1, 12));
    leave_behind(text(2, 12));
    EXPECT_EQ(pages_.cached(), 6u);
    EXPECT_EQ(found(text(1, 12)), 12u);  // used now: text 2 is older
    leave_behind(text(3, 4));
    EXPECT_EQ(found(text(2, 12)), 8u);  // its last page went
    EXPECT_EQ(found(text(1, 12)), 12u);
    EXPECT_EQ(found(text(3, 4)), 4u);
}

TEST_F(KvPagesTest, PagesInUseNeverGo) {
    compute(0, text(1, 12));
    compute(1, text(2, 12));
    EXPECT_EQ(pages_.available(), 0u);
    EXPECT_FALSE(pages_.grow(2, 1));
    pages_.release(1);
    EXPECT_EQ(pages_.available(), 3u);
    compute(2, text(3, 12));
    EXPECT_EQ(found(text(1, 12)), 12u);
    EXPECT_EQ(found(text(2, 12)), 0u);
}

TEST_F(KvPagesTest, APageWithNothingComputedIsFreeAgain) {
    ASSERT_TRUE(pages_.grow(0, 12));
    pages_.announce(0, 0, text(1, 12));
    pages_.release(0);
    EXPECT_EQ(pages_.available(), 6u);
    EXPECT_EQ(pages_.cached(), 0u);
}

TEST_F(KvPagesTest, WhatAnotherIsAboutToComputeIsWaitedFor) {
    ASSERT_TRUE(pages_.grow(0, 8));
    pages_.announce(0, 0, text(1, 8));
    EXPECT_TRUE(pages_.is_coming(1, 0, text(1, 12)));
    EXPECT_FALSE(pages_.is_coming(1, 0, text(1, 1))) << "less than half a page";
    EXPECT_FALSE(pages_.is_coming(1, 0, text(2, 12)));
    pages_.fill(0, 0, text(1, 8));
    EXPECT_FALSE(pages_.is_coming(1, 0, text(1, 12))) << "it is there";
}

// A copy looks at another sequence's page while that one's next ids are announced.
TEST_F(KvPagesTest, ACopyForWhichThereIsNoPageLeavesWhatIsAnnounced) {
    KvPages pages(2, kTokens, 3, 16);
    const std::vector<uint32_t> ids = text(1, 4);
    ASSERT_TRUE(pages.grow(0, 4));
    pages.fill(0, 0, std::span(ids).first(2));
    pages.announce(0, 2, std::span(ids).subspan(2, 1));
    ASSERT_TRUE(pages.grow(1, 4));
    EXPECT_EQ(pages.reuse_part(2, 0, ids), 0u);
    pages.announce(0, 3, std::span(ids).last(1));
    pages.fill(0, 2, std::span(ids).last(2));
    EXPECT_EQ(pages.reuse_whole(2, 0, ids), 4u);
}

TEST_F(KvPagesTest, WhatIsCopiedFromAPageWhoseSequenceLeavesIsNoLongerComing) {
    const std::vector<uint32_t> ids = text(1, 4);
    ASSERT_TRUE(pages_.grow(0, 4));
    pages_.fill(0, 0, std::span(ids).first(1));
    pages_.announce(0, 1, std::span(ids).subspan(1));
    EXPECT_EQ(pages_.reuse_part(1, 0, ids), 1u);
    pages_.release(0);
    pages_.copies_done();
    EXPECT_FALSE(pages_.is_coming(2, 0, ids));
}

TEST_F(KvPagesTest, OneTokenInCommonIsNotWorthACopyOfALargePage) {
    KvPages pages(4, 32, 2, 64);
    ASSERT_TRUE(pages.grow(0, 20));
    pages.fill(0, 0, text(1, 20));
    EXPECT_EQ(pages.reuse_part(1, 0, text(1, 3)), 0u);
    EXPECT_EQ(pages.reuse_part(1, 0, text(1, 4)), 4u);
}

}  // namespace
}  // namespace bitnetd::worker
