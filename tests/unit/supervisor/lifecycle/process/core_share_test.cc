// Goal: workers that stay have shares of their own as long as there are enough, and a worker that
// has none knows it. Method: shares taken one after the other, as starts and rolls do.
#include "supervisor/lifecycle/process/core_share.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitnetd::supervisor {
namespace {

TEST(CoreShare, SharesOfOneCountAreDisjoint) {
    for (uint32_t a = 0; a < 5; ++a) {
        for (uint32_t b = 0; b < 5; ++b)
            EXPECT_EQ(overlap({a, 5}, {b, 5}), a == b);
    }
}

TEST(CoreShare, SharesOfOtherCountsOverlapWhereTheyMeet) {
    EXPECT_TRUE(overlap({0, 1}, {1, 2}));
    EXPECT_TRUE(overlap({1, 2}, {0, 1}));
    EXPECT_TRUE(overlap({1, 3}, {0, 2}));
    EXPECT_TRUE(overlap({1, 3}, {1, 2}));
    EXPECT_FALSE(overlap({0, 2}, {2, 4}));
    EXPECT_FALSE(overlap({2, 4}, {0, 2}));
}

TEST(CoreShare, EachStartTakesTheNextFreeOne) {
    std::vector<CoreShare> taken;
    for (uint32_t i = 0; i < 3; ++i) {
        taken.push_back(choose_share(3, taken));
        EXPECT_EQ(taken.back().index, i);
        EXPECT_FALSE(taken.back().is_shared);
    }
    EXPECT_TRUE(choose_share(3, taken).is_shared);
}

// The old workers leave: only new ones count, wherever the old ones were.
TEST(CoreShare, ARollLeavesNoShareEmpty) {
    std::vector<CoreShare> fresh;
    fresh.push_back(choose_share(2, fresh));
    fresh.push_back(choose_share(2, fresh));
    EXPECT_FALSE(overlap(fresh[0], fresh[1]));
}

TEST(CoreShare, OfAModelThatStaysTheRestIsTaken) {
    const CoreShare staying[] = {{1, 2}};
    const CoreShare share = choose_share(2, staying);
    EXPECT_EQ(share.index, 0u);
    EXPECT_FALSE(share.is_shared);
}

TEST(CoreShare, AModelThatComesLaterShares) {
    const CoreShare whole[] = {{0, 1}};
    EXPECT_TRUE(choose_share(2, whole).is_shared);
    // Beside two of three the gap is the third.
    const CoreShare two[] = {{0, 3}, {2, 3}};
    EXPECT_EQ(choose_share(3, two).index, 1u);
}

}  // namespace
}  // namespace bitnetd::supervisor
