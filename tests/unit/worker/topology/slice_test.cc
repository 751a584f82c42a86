// Goal: slice() covers every item exactly once, evenly, on grain boundaries, for any numbers.
// Method: all small totals, parts and grains; then the extremes that could overflow.
#include "worker/topology/slice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace bitnetd::worker {
namespace {

TEST(Slice, CoversEverythingOnceAndEvenly) {
    for (int64_t total = 0; total <= 40; ++total) {
        for (int64_t parts = 1; parts <= 9; ++parts) {
            for (int64_t grain : {1, 2, 3, 8, 64}) {
                int64_t next = 0;
                int64_t longest = 0;
                int64_t shortest = total;
                for (int64_t index = 0; index < parts; ++index) {
                    const Range part = slice(total, parts, index, grain);
                    ASSERT_EQ(part.begin, next);
                    ASSERT_GE(part.end, part.begin);
                    ASSERT_TRUE(part.end == total || part.end % grain == 0);
                    next = part.end;
                    longest = std::max(longest, part.count());
                    shortest = std::min(shortest, part.count());
                }
                ASSERT_EQ(next, total);
                ASSERT_LT(longest - shortest, 2 * grain);
            }
        }
    }
}

TEST(Slice, LargeTotalsDoNotOverflow) {
    constexpr int64_t kTotal = int64_t{1} << 40;
    EXPECT_EQ(slice(kTotal, 3, 0, 64).begin, 0);
    EXPECT_EQ(slice(kTotal, 3, 2, 64).end, kTotal);
    EXPECT_EQ(slice(kTotal, 3, 0, 64).end, slice(kTotal, 3, 1, 64).begin);
}

TEST(Slice, MorePartsThanWorkLeavesSomeEmpty) {
    EXPECT_EQ(slice(2, 4, 1), (Range{1, 2}));
    EXPECT_EQ(slice(2, 4, 3), (Range{2, 2}));
}

}  // namespace
}  // namespace bitnetd::worker
