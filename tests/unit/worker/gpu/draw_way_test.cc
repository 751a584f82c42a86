// Goal: a draw is made where it can be made, and nowhere else: on the device only where nothing but
// the temperature counts, among the largest logits only where they decide.
// Method: each parameter by itself.
#include "worker/gpu/draw_way.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

using enum DrawPlace;

constexpr uint32_t kVocab = 1000;

class DrawWayTest : public ::testing::Test {
  protected:
    DrawWay way() const { return way_of(draw_, kVocab); }

    const std::vector<uint32_t> ids_ = {1, 2, 3};
    const std::vector<uint32_t> ends_ = {7, 8};
    const std::vector<shm::LogitBias> bias_ = {{5, 1.0f}};
    SamplingParams params_ = {.seed = 9, .temperature = 0.5f};
    Draw draw_ = {0, false, 0, &params_, {ids_, 2, {}, ends_}, nullptr};
};

TEST_F(DrawWayTest, APlainDrawIsTheDevices) {
    EXPECT_EQ(way().place, kDevice);
    params_.top_k = kVocab;  // off
    EXPECT_EQ(way().place, kDevice);
}

TEST_F(DrawWayTest, WhatTheDeviceIsTold) {
    params_.ignore_eos = true;
    EXPECT_EQ(way().place, kDevice);
    const auto plain = plain_draw(draw_);
    EXPECT_EQ(plain.temperature, 0.5f);
    EXPECT_EQ(plain.position, 3u);
    EXPECT_EQ(plain.seed, 9u);
    ASSERT_EQ(plain.masked_count, 2u);
    EXPECT_EQ(plain.masked[0], 7u);
    EXPECT_EQ(plain.masked[1], 8u);
}

TEST_F(DrawWayTest, GreedyAndTopKNeedTheLargest) {
    params_.top_k = 40;
    params_.top_p = 0.9f;
    EXPECT_EQ(way().place, kLargest);
    EXPECT_EQ(way().largest, 40u);
    params_.ignore_eos = true;
    EXPECT_EQ(way().largest, 42u) << "those that may not be drawn included";
    params_ = {.temperature = 0};
    EXPECT_EQ(way().place, kLargest);
    EXPECT_EQ(way().largest, 1u);
    params_ = {.top_k = kernels::cuda::kLargestMax};
    EXPECT_EQ(way().place, kLargest);
    params_ = {.top_k = kernels::cuda::kLargestMax + 1};
    EXPECT_EQ(way().place, kAllLogits);
}

TEST_F(DrawWayTest, EverythingElseNeedsAllLogits) {
    const SamplingParams others[] = {{.top_p = 0.9f},
                                     {.min_p = 0.1f},
                                     {.typical_p = 0.9f},
                                     {.repetition_penalty = 1.1f},
                                     {.frequency_penalty = 0.1f},
                                     {.temperature = 0, .presence_penalty = 0.1f},
                                     {.temperature = 0, .wants_logprobs = true}};
    for (const SamplingParams& params : others) {
        params_ = params;
        EXPECT_EQ(way().place, kAllLogits);
    }
    params_ = {};
    draw_.context.bias = bias_;
    EXPECT_EQ(way().place, kAllLogits);
    draw_.context.bias = {};
    draw_.is_score = true;
    EXPECT_EQ(way().place, kAllLogits);
}

}  // namespace
}  // namespace bitnetd::worker
