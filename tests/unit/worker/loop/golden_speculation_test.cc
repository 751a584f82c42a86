// Goal: the demo model's golden greedy texts come out of the loop with every guess verified, and a
// text that repeats itself comes out in fewer steps.
// Method: the loop over real rings with the real model, all golden cases in one batch; then a
// golden text four times over as a prompt, in all modes.
#include <gtest/gtest.h>

#include "tests/support/golden.h"
#include "tests/support/worker/loop_fixture.h"
#include "tests/support/worker/packed_model.h"

namespace bitnetd::worker {
namespace {

using test::FakeFrontend;
using test::LoopFixture;
using test::PackedModel;
using test::Request;

const PackedModel& demo_model() {
    static const PackedModel model(
        {tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf")});
    return model;
}

LoopFixture::Options options_of(SpeculationMode mode) {
    const auto weights = demo_model().segment();
    const WeightsView view = open_weights(weights).value();
    const auto ends = view.end_ids();
    LoopFixture::Options options;
    options.end_ids = {ends.begin(), ends.end()};
    options.speculation = {mode, 8};
    options.weights = weights;
    return options;
}

TEST(GoldenSpeculation, GreedyTextsOfTheDemoModel) {
    const auto golden = tests::read_json(tests::golden_path("demo-model/golden.json"));
    LoopFixture fixture(options_of(SpeculationMode::kOn));
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    uint64_t flight = 0;
    for (const auto& golden_case : golden["cases"]) {
        Request request;
        request.flight = ++flight;
        request.ids = golden_case["prompt_ids"].get<std::vector<uint32_t>>();
        request.new_tokens = 64;
        request.sampling = {.temperature = 0};
        frontend.submit(request);
    }
    fixture.settle({&frontend});
    flight = 0;
    for (const auto& golden_case : golden["cases"]) {
        EXPECT_EQ(frontend.heard(++flight).ids(),
                  golden_case["greedy_ids"].get<std::vector<uint32_t>>())
            << golden_case["prompt_text"];
    }
    EXPECT_GT(fixture.board().counter(Counter::kDraftsAccepted), 0u);
}

struct Outcome {
    std::vector<uint32_t> ids;
    std::vector<float> logprobs;
    uint64_t steps;
};

Outcome go_on_with(const std::vector<uint32_t>& ids, SpeculationMode mode) {
    LoopFixture fixture(options_of(mode));
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    Request request;
    request.ids = ids;
    request.new_tokens = 80;
    request.sampling = {.temperature = 0, .wants_logprobs = true, .ignore_eos = true};
    frontend.submit(request);
    fixture.settle({&frontend});
    std::printf("mode %d: %lu steps, %lu drafted, %lu accepted\n", static_cast<int>(mode),
                fixture.board().counter(Counter::kSteps),
                fixture.board().counter(Counter::kDraftedTokens),
                fixture.board().counter(Counter::kDraftsAccepted));
    return {frontend.heard(1).ids(), frontend.heard(1).logprobs(),
            fixture.board().counter(Counter::kSteps)};
}

TEST(GoldenSpeculation, ARepeatedTextTakesFewerSteps) {
    const auto golden = tests::read_json(tests::golden_path("demo-model/golden.json"));
    const auto text = golden["cases"][0]["greedy_ids"].get<std::vector<uint32_t>>();
    std::vector<uint32_t> ids = golden["cases"][0]["prompt_ids"].get<std::vector<uint32_t>>();
    for (int i = 0; i < 4; ++i)
        ids.insert(ids.end(), text.begin(), text.begin() + 40);
    const Outcome plain = go_on_with(ids, SpeculationMode::kOff);
    ASSERT_EQ(plain.ids.size(), 80u);
    for (const SpeculationMode mode : {SpeculationMode::kOn, SpeculationMode::kAuto}) {
        const Outcome guessed = go_on_with(ids, mode);
        EXPECT_EQ(guessed.ids, plain.ids);
        EXPECT_EQ(guessed.logprobs, plain.logprobs);
        if (mode == SpeculationMode::kOn) {
            EXPECT_LT(guessed.steps, plain.steps);
        }
    }
}

}  // namespace
}  // namespace bitnetd::worker
