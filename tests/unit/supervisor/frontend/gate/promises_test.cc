// Goal: promised times are spaced by the pace and by how many come, are kept once, and end.
// Method: a hand-turned clock.
#include "supervisor/frontend/gate/promises.h"

#include <gtest/gtest.h>

namespace bitnetd::frontend {
namespace {

class PromisesTest : public testing::Test {
  protected:
    uint64_t make(uint64_t name) {
        return promises_.make({0, name}, now_ns_, now_ns_ + kNsPerS, 100 * kNsPerMs);
    }
    bool keep(uint64_t name) { return promises_.keep({0, name}, now_ns_); }

    uint64_t now_ns_ = 1000 * kNsPerS;
    Promises promises_;
};

TEST_F(PromisesTest, TimesAreOneBehindTheOther) {
    EXPECT_EQ(make(1), now_ns_ + kNsPerS);
    EXPECT_EQ(make(2), now_ns_ + kNsPerS + 100 * kNsPerMs);
    EXPECT_EQ(promises_.expected(now_ns_, 2 * kNsPerS), 2.0);
}

TEST_F(PromisesTest, APromiseIsKeptOnceAndNotBeforeItsTime) {
    make(1);
    EXPECT_FALSE(keep(2));
    EXPECT_FALSE(keep(1));
    now_ns_ += kNsPerS - Promises::kEarlyNs;
    EXPECT_TRUE(keep(1));
    EXPECT_FALSE(keep(1));
    EXPECT_EQ(promises_.count(), 0u);
}

TEST_F(PromisesTest, EqualRequestsHaveAPromiseEach) {
    make(1);
    make(1);
    now_ns_ += 2 * kNsPerS;
    EXPECT_TRUE(keep(1));
    EXPECT_TRUE(keep(1));
    EXPECT_FALSE(keep(1));
}

TEST_F(PromisesTest, RoomIsKeptForAsManyAsCome) {
    for (uint64_t i = 0; i < 200; ++i) {
        make(i);
        now_ns_ += 2 * Promises::kLateNs;
        EXPECT_FALSE(keep(i));
    }
    EXPECT_LT(promises_.kept_share(), 0.01);
    for (uint64_t i = 0; i < 200; ++i) {
        make(i);
        now_ns_ += 2 * kNsPerS;
        EXPECT_TRUE(keep(i));
    }
    EXPECT_GT(promises_.kept_share(), 0.99);
}

TEST_F(PromisesTest, TheTableHasALimit) {
    for (uint64_t i = 0; i < Promises::kPromisesMax + 10; ++i)
        make(i);
    EXPECT_EQ(promises_.count(), Promises::kPromisesMax);
    EXPECT_GT(make(1), now_ns_);
    now_ns_ += 3600 * kNsPerS * 24;
    EXPECT_FALSE(keep(1));
    EXPECT_EQ(promises_.count(), 0u);
}

}  // namespace
}  // namespace bitnetd::frontend
