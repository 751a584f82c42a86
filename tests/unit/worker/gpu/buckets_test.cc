// Goal: every number of rows has a graph that holds it, of which at most a third is filled up.
// Method: all numbers up to several maxima.
#include "worker/gpu/buckets.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

TEST(Buckets, AreListedInOrder) {
    const auto sizes = [](uint32_t rows_max) {
        const Buckets buckets(rows_max);
        return std::vector(buckets.sizes().begin(), buckets.sizes().end());
    };
    EXPECT_EQ(sizes(1), (std::vector<uint32_t>{1}));
    EXPECT_EQ(sizes(2), (std::vector<uint32_t>{1, 2}));
    EXPECT_EQ(sizes(16), (std::vector<uint32_t>{1, 2, 3, 4, 6, 8, 12, 16}));
    EXPECT_EQ(sizes(13), (std::vector<uint32_t>{1, 2, 3, 4, 6, 8, 12, 13}));
    EXPECT_EQ(sizes(12), (std::vector<uint32_t>{1, 2, 3, 4, 6, 8, 12}));
}

TEST(Buckets, HoldEveryNumberAndWasteLittle) {
    for (const uint32_t rows_max : {1u, 2u, 5u, 64u, 100u, 512u, 777u, 8192u}) {
        const Buckets buckets(rows_max);
        for (uint32_t rows = 1; rows <= rows_max; ++rows) {
            const size_t index = buckets.index_of(rows);
            const uint32_t size = buckets.sizes()[index];
            ASSERT_GE(size, rows);
            ASSERT_LE(size, rows + (rows + 1) / 2) << rows << " of " << rows_max;
            if (index > 0) {
                ASSERT_LT(buckets.sizes()[index - 1], rows);
            }
        }
    }
}

TEST(BucketsDeathTest, RefuseWhatNoneHolds) {
    EXPECT_DEATH(Buckets(8).index_of(9), "check failed");
    EXPECT_DEATH(Buckets(8).index_of(0), "check failed");
}

}  // namespace
}  // namespace bitnetd::worker
