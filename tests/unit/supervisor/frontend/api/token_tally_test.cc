// Goal: two lists of ids that arrive in any pieces differ exactly when one is not the beginning of
// the other; a tally keeps the first end.
// Method: random cuts of lists that are equal, prefixes or different, from a printed seed.
#include "supervisor/frontend/api/token_tally.h"

#include <gtest/gtest.h>

#include <random>

namespace bitnetd::frontend {
namespace {

using Ids = std::vector<uint32_t>;

TEST(IdComparison, DiffersWhereOneIsNotTheBeginningOfTheOther) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 2000; ++round) {
        Ids lists[2];
        for (size_t i = random() % 30; i > 0; --i)
            lists[0].push_back(static_cast<uint32_t>(random() % 4));
        lists[1] = lists[0];
        if (round % 3 == 1) lists[1].resize(random() % (lists[1].size() + 1));
        if (round % 3 == 2 && !lists[1].empty()) lists[1][random() % lists[1].size()] += 1;
        const size_t common = std::min(lists[0].size(), lists[1].size());
        const bool expected = !std::equal(
            lists[0].begin(), lists[0].begin() + static_cast<ptrdiff_t>(common), lists[1].begin());
        IdComparison comparison;
        size_t at[2] = {0, 0};
        while (at[0] < lists[0].size() || at[1] < lists[1].size()) {
            std::span<const uint32_t> pieces[2];
            for (int side = 0; side < 2; ++side) {
                const size_t left = lists[side].size() - at[side];
                pieces[side] = std::span(lists[side]).subspan(at[side], random() % (left + 1));
                at[side] += pieces[side].size();
            }
            comparison.add(pieces[0], pieces[1]);
        }
        ASSERT_EQ(comparison.differs(), expected) << "round " << round;
    }
}

TEST(TokenTally, CountsUntilItsFirstEnd) {
    TokenTally tally(/*keeps_ids=*/true);
    const Token tokens[] = {{.id = 5}, {.id = 6}};
    tally.add(tokens);
    tally.add(std::span(tokens).first(1));
    EXPECT_EQ(tally.take_ids(), (Ids{5, 6, 5}));
    EXPECT_EQ(tally.take_ids(), Ids{});
    EXPECT_FALSE(tally.is_over());
    tally.end(EndReason::kLength);
    EXPECT_TRUE(tally.is_whole());
    tally.add(tokens);
    tally.stop();
    tally.cut();
    tally.end(EndReason::kInternal);
    EXPECT_EQ(tally.count(), 3u);
    EXPECT_EQ(tally.end(), EndReason::kLength);
    EXPECT_FALSE(tally.is_cut());
}

TEST(TokenTally, WhatIsCutWouldHaveGoneOn) {
    TokenTally stopped(false);
    stopped.stop();
    TokenTally late(false);
    late.end(EndReason::kTimeout);
    TokenTally left(false);
    left.cut();
    for (const TokenTally* tally : {&stopped, &late, &left}) {
        EXPECT_TRUE(tally->is_over());
        EXPECT_TRUE(tally->is_cut());
        EXPECT_FALSE(tally->is_whole());
    }
    EXPECT_EQ(stopped.end(), EndReason::kStop);
    EXPECT_FALSE(left.end().has_value());
}

}  // namespace
}  // namespace bitnetd::frontend
