// Goal: the demo model gives the golden numbers: greedy paths and logits. Method: the
// real loader's packing, the real engine; ids of the golden path are fed whatever was drawn, so
// that a legitimate difference does not hide what follows. Tolerances are those stated with the
// golden data, where they are explained: a whole model is chaotic in int8, so tight only where no
// quantised value lies near a rounding boundary.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "tests/support/golden.h"
#include "tests/support/worker/engine_fixture.h"
#include "tests/support/worker/packed_model.h"

namespace bitnetd::worker {
namespace {

using nlohmann::json;
using test::EngineFixture;
using test::PackedModel;

const PackedModel& demo_model() {
    static const PackedModel model(
        {tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf")});
    return model;
}

// The largest difference between logits and a list of [id, value].
double largest_difference(const std::vector<float>& logits, const json& expected) {
    double largest = 0;
    for (const json& entry : expected) {
        const double value = logits.at(entry[0].get<size_t>());
        largest = std::max(largest, std::fabs(value - entry[1].get<double>()));
    }
    return largest;
}

struct PathResult {
    size_t steps = 0;
    size_t other_token = 0;         // steps where another token was best
    double other_margin = 0;        // the largest margin among these
    double largest_difference = 0;  // of the listed logits, over all steps
};

PathResult follow_demo(EngineFixture& fixture, const json& golden_case) {
    auto ids = golden_case["prompt_ids"].get<std::vector<uint32_t>>();
    PathResult result;
    uint32_t computed = 0;
    for (const json& step : golden_case["steps"]) {
        const auto logits = fixture.feed(0, ids, computed);
        computed = static_cast<uint32_t>(ids.size());
        result.largest_difference =
            std::max(result.largest_difference, largest_difference(logits, step["top"]));
        if (test::argmax(logits) != step["id"]) {
            ++result.other_token;
            result.other_margin = std::max(result.other_margin, step["margin"].get<double>());
        }
        ids.push_back(step["id"].get<uint32_t>());
        ++result.steps;
    }
    return result;
}

TEST(DemoModel, GreedyPathsAndLogitsWithF32KeysAndValues) {
    const json golden = tests::read_json(tests::golden_path("demo-model/golden.json"));
    ASSERT_EQ(golden["cases"].size(), 18u);
    EngineFixture fixture(demo_model().segment(), {});
    double largest = 0;
    size_t steps = 0;
    for (const json& golden_case : golden["cases"]) {
        const PathResult result = follow_demo(fixture, golden_case);
        EXPECT_EQ(result.other_token, 0u) << golden_case["prompt_text"];
        EXPECT_LE(result.largest_difference, 0.1) << golden_case["prompt_text"];
        largest = std::max(largest, result.largest_difference);
        steps += result.steps;
    }
    std::printf("%zu steps, largest difference %.4f\n", steps, largest);
}

// Stated for an f16 cache: equal up to the first step whose margin is below 0.1. Each step is
// judged here, because the golden ids are fed; how far the logits move is printed, no bound is
// stated.
TEST(DemoModel, GreedyPathsWithF16KeysAndValues) {
    const json golden = tests::read_json(tests::golden_path("demo-model/golden.json"));
    EngineFixture fixture(demo_model().segment(), {.kv_type = KvType::kF16});
    double largest = 0;
    size_t others = 0;
    for (const json& golden_case : golden["cases"]) {
        const PathResult result = follow_demo(fixture, golden_case);
        EXPECT_LT(result.other_margin, 0.1) << golden_case["prompt_text"];
        largest = std::max(largest, result.largest_difference);
        others += result.other_token;
    }
    std::printf("largest difference %.4f, other tokens %zu\n", largest, others);
}

// Nothing is stated for eight bits. Measured: 4 of 586 steps have another best token, none with a
// margin above 0.07; the listed logits move by 0.29 at most (by 0.25 in f16, where the cause is the
// same: the inputs of ternary products are rounded the other way). The bounds leave room for other
// sums, not for wrong ones.
TEST(DemoModel, GreedyPathsWithInt8KeysAndValues) {
    const json golden = tests::read_json(tests::golden_path("demo-model/golden.json"));
    EngineFixture fixture(demo_model().segment(), {.kv_type = KvType::kInt8});
    PathResult all;
    for (const json& golden_case : golden["cases"]) {
        const PathResult result = follow_demo(fixture, golden_case);
        all.steps += result.steps;
        all.other_token += result.other_token;
        all.other_margin = std::max(all.other_margin, result.other_margin);
        all.largest_difference = std::max(all.largest_difference, result.largest_difference);
    }
    std::printf("%zu steps, other tokens %zu of margins up to %.4f, largest difference %.4f\n",
                all.steps, all.other_token, all.other_margin, all.largest_difference);
    EXPECT_LE(all.other_token, all.steps / 50);
    EXPECT_LT(all.other_margin, 0.2);
    EXPECT_LT(all.largest_difference, 0.6);
}

TEST(DemoModel, ScoresAHeldOutStory) {
    const json golden = tests::read_json(tests::golden_path("demo-model/golden.json"));
    const auto ids = golden["scored_text"]["ids"].get<std::vector<uint32_t>>();
    EngineFixture fixture(demo_model().segment(), {.step_tokens_max = 256});
    std::vector<Row> rows;
    std::vector<Draw> draws;
    std::vector<Drawn> drawn(ids.size());
    const SamplingParams params;
    for (uint32_t p = 0; p + 1 < ids.size(); ++p) {
        rows.push_back(fixture.row(0, ids[p], p));
        draws.push_back({p, true, ids[p + 1], &params, {}, &drawn[p]});
    }
    fixture.engine().step(rows, draws);
    for (size_t p = 0; p + 1 < ids.size(); ++p) {
        ASSERT_TRUE(drawn[p].valid);
        EXPECT_NEAR(drawn[p].scores.logprob, golden["scored_text"]["logprobs"][p].get<double>(),
                    0.1);
    }
}

}  // namespace
}  // namespace bitnetd::worker
