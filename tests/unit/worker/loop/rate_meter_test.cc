// Goal: the rates on the board mean what rate_meter.h says.
// Method: made-up steps.
#include "worker/loop/rate_meter.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

TEST(RateMeter, NothingIsMeasuredAtFirst) {
    const RateMeter meter;
    EXPECT_EQ(meter.decode_ns(), 0u);
    EXPECT_EQ(meter.prefill_token_ns(), 0u);
}

TEST(RateMeter, FollowsStepsOfOneRowSteadily) {
    RateMeter meter;
    meter.step_took(1, 0, 1000);
    EXPECT_EQ(meter.decode_ns(), 1000u);
    meter.step_took(1, 0, 9000);
    EXPECT_EQ(meter.decode_ns(), 2000u);
    for (int i = 0; i < 100; ++i)
        meter.step_took(1, 0, 500);
    EXPECT_NEAR(static_cast<double>(meter.decode_ns()), 500, 10);
}

TEST(RateMeter, ABatchNeverRaisesTheDecodeTime) {
    RateMeter meter;
    meter.step_took(32, 0, 8000);  // better than nothing
    EXPECT_EQ(meter.decode_ns(), 8000u);
    meter.step_took(1, 0, 800);
    const uint64_t before = meter.decode_ns();
    meter.step_took(32, 0, 9000);
    EXPECT_EQ(meter.decode_ns(), before);
}

TEST(RateMeter, PrefillIsMeasuredOnStepsThatAreMostlyPrompt) {
    RateMeter meter;
    meter.step_took(4, 4, 4000);      // too short to tell
    meter.step_took(100, 40, 70000);  // mostly decodes
    EXPECT_EQ(meter.prefill_token_ns(), 0u);
    meter.step_took(100, 90, 50000);
    EXPECT_EQ(meter.prefill_token_ns(), 500u);
    EXPECT_EQ(meter.decode_ns(), 0u);
}

}  // namespace
}  // namespace bitnetd::worker
