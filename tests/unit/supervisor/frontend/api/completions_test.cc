// Goal: POST /v1/completions answers as api.md and the OpenAI API say, streamed and whole alike.
// Method: requests through Api with a scripted worker; expectations written out.
#include <limits>

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

class CompletionsTest : public ApiTest {};

TEST_F(CompletionsTest, WholeAnswer) {
    add_worker();
    FakeExchange& exchange = complete({{"prompt", "ab"}, {"seed", 5}, {"temperature", 0}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    EXPECT_EQ(worker_->submissions[0].ids, (Ids{kBos, 'a', 'b'}));
    EXPECT_EQ(worker_->submissions[0].position_limit, 3u + 16u);
    EXPECT_EQ(worker_->submissions[0].seed, 5u);
    produce_text(0, "xy");
    EXPECT_FALSE(exchange.answered());
    produce(0, {kEndOfTurn}, shm::Finish::kEndOfGeneration);

    ASSERT_TRUE(exchange.response);
    EXPECT_EQ(exchange.response->status, 200);
    Json body = exchange.body();
    EXPECT_TRUE(body["id"].get<std::string>().starts_with("cmpl-"));
    EXPECT_EQ(body["object"], "text_completion");
    EXPECT_EQ(body["model"], "tiny");
    EXPECT_EQ(body["seed"], 5);
    EXPECT_EQ(body["system_fingerprint"],
              "bitnetd-" BITNETD_VERSION "-0123456789abcdef-f32x16-f32-int8-float");
    EXPECT_EQ(body["choices"], Json::parse(R"([{"index":0,"text":"xy","logprobs":null,
                                               "finish_reason":"stop"}])"));
    EXPECT_EQ(body["usage"]["prompt_tokens"], 3);
    EXPECT_EQ(body["usage"]["completion_tokens"], 3);
    EXPECT_EQ(body["usage"]["total_tokens"], 6);
    EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    EXPECT_EQ(body["usage"]["performance"]["decode_iterations"], 3) << "one token in each step";
    for (const char* name : {"queue_ms", "prefill_ms", "decode_ms", "decode_iterations",
                             "tokens_per_second", "time_to_first_token_ms"}) {
        EXPECT_TRUE(body["usage"]["performance"][name].is_number()) << name;
    }
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(CompletionsTest, StreamedAnswer) {
    add_worker();
    FakeExchange& exchange = complete(
        {{"prompt", "ab"}, {"stream", true}, {"stream_options", {{"include_usage", true}}}});
    produce_text(0, "x");
    EXPECT_EQ(exchange.streamed_text(), "x") << "it leaves as it comes";
    produce_text(0, "yz", shm::Finish::kLength);
    ASSERT_TRUE(exchange.ended);
    const auto events = exchange.events();
    ASSERT_EQ(events.size(), 5u);
    EXPECT_EQ(events[0]["choices"][0]["text"], "x");
    EXPECT_EQ(events[0]["choices"][0]["finish_reason"], nullptr);
    EXPECT_TRUE(events[0].contains("usage"));
    EXPECT_EQ(events[0]["usage"], nullptr);
    EXPECT_EQ(events[1]["choices"][0]["text"], "yz");
    EXPECT_EQ(events[2]["choices"][0]["finish_reason"], "length");
    EXPECT_EQ(events[3]["choices"], Json::array());
    EXPECT_EQ(events[3]["usage"]["completion_tokens"], 3);
    EXPECT_EQ(events[4], "[DONE]");
    EXPECT_EQ(events[0]["id"], events[3]["id"]);
}

TEST_F(CompletionsTest, StreamWithoutUsageHasNoEmptyChoices) {
    add_worker();
    FakeExchange& exchange = complete({{"prompt", "ab"}, {"stream", true}});
    produce_text(0, "x", shm::Finish::kLength);
    for (const Json& event : exchange.events()) {
        if (event == "[DONE]") continue;
        EXPECT_FALSE(event["choices"].empty());
        EXPECT_FALSE(event.contains("usage"));
    }
}

TEST_F(CompletionsTest, PromptForms) {
    add_worker();
    complete({{"prompt", Json::array({"a", "b"})}});
    complete({{"prompt", Json::array({1, 2, 3})}});
    complete({{"prompt", Json::array({Json::array({4}), Json::array({5, 6})})}});
    complete({{"prompt", "a<|end|>"}});
    std::vector<Ids> prompts;
    for (const Assignment& work : worker_->submissions)
        prompts.push_back(work.ids);
    EXPECT_EQ(prompts,
              (std::vector<Ids>{
                  {kBos, 'a'}, {kBos, 'b'}, {1, 2, 3}, {4}, {5, 6}, {kBos, 'a', kEndOfTurn}}));
}

TEST_F(CompletionsTest, BadPrompts) {
    add_worker();
    const Json bad[] = {Json::array(),
                        true,
                        7,
                        Json::array({"a", 1}),
                        Json::array({1, "a"}),
                        Json::array({Json::array({1}), "a"}),
                        Json::array({-1}),
                        Json::array({1.5}),
                        Json::array({kTestVocab}),
                        Json::array({Json::array()}),
                        Json::object()};
    for (const Json& prompt : bad) {
        FakeExchange& exchange = complete({{"prompt", prompt}});
        ASSERT_TRUE(exchange.response) << prompt;
        EXPECT_EQ(exchange.response->status, 400) << prompt;
        EXPECT_EQ(exchange.body()["error"]["param"], "prompt") << prompt;
    }
    FakeExchange& missing = complete({{"max_tokens", 1}});
    EXPECT_EQ(missing.body()["error"]["code"], "missing_field");
    FakeExchange& null = complete({{"prompt", nullptr}});
    EXPECT_EQ(null.body()["error"]["code"], "missing_field");
    EXPECT_TRUE(worker_->submissions.empty());
}

TEST_F(CompletionsTest, MoreGenerationsThanCanEverWaitAreRefused) {
    add_worker();
    FakeExchange& prompts = complete({{"prompt", std::vector<std::string>(1025, "a")}});
    EXPECT_EQ(prompts.response->status, 400);
    FakeExchange& choices = complete({{"prompt", std::vector<std::string>(65, "a")}, {"n", 16}});
    EXPECT_EQ(choices.response->status, 400);
    EXPECT_EQ(choices.body()["error"]["param"], "prompt");
}

TEST_F(CompletionsTest, ContextLength) {
    add_worker();
    FakeExchange& full = complete({{"prompt", Ids(kTestContext, 1)}});
    EXPECT_EQ(full.response->status, 400);
    EXPECT_EQ(full.body()["error"]["code"], "context_length_exceeded");
    complete({{"prompt", Ids(kTestContext - 1, 1)}, {"max_tokens", 1'000'000'000'000}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    EXPECT_EQ(worker_->submissions[0].position_limit, kTestContext) << "capped, not refused";
}

TEST_F(CompletionsTest, ChoicesDrawWithTheirOwnSeedsAndAnswerInOrder) {
    add_worker();
    FakeExchange& exchange =
        complete({{"prompt", Json::array({"a", "b"})}, {"n", 2}, {"seed", -1}});
    ASSERT_EQ(worker_->submissions.size(), 4u);
    std::vector<uint64_t> seeds;
    for (const Assignment& work : worker_->submissions)
        seeds.push_back(work.seed);
    EXPECT_EQ(seeds, (std::vector<uint64_t>{UINT64_MAX, 0, 1, 2}));
    for (const size_t i : {3u, 1u, 2u, 0u}) {
        produce_text(i, std::string(1, static_cast<char>('0' + i)), shm::Finish::kLength);
    }
    ASSERT_TRUE(exchange.response);
    const Json body = exchange.body();
    ASSERT_EQ(body["choices"].size(), 4u);
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(body["choices"][i]["index"], i);
        EXPECT_EQ(body["choices"][i]["text"], std::to_string(i));
    }
    EXPECT_EQ(body["usage"]["prompt_tokens"], 4) << "each prompt once";
    EXPECT_EQ(body["usage"]["completion_tokens"], 4);
}

TEST_F(CompletionsTest, BestOfReturnsTheLikeliest) {
    add_worker();
    FakeExchange& exchange = complete({{"prompt", "a"}, {"best_of", 3}, {"n", 2}, {"seed", 1}});
    ASSERT_EQ(worker_->submissions.size(), 3u);
    const float logprobs[] = {-3.0f, -1.0f, -2.0f};
    for (size_t i = 0; i < 3; ++i) {
        const Assignment& work = worker_->submissions[i];
        const shm::TokenRecord record{
            work.flight, work.attempt,         2, static_cast<uint32_t>('0' + i),
            logprobs[i], shm::Finish::kLength, 0, 0};
        worker_->published.push_back([record](WorkerEvents& to) { to.on_token(record, {}); });
    }
    turn();
    const Json body = exchange.body();
    ASSERT_EQ(body["choices"].size(), 2u);
    EXPECT_EQ(body["choices"][0]["text"], "1");
    EXPECT_EQ(body["choices"][1]["text"], "2");
    EXPECT_EQ(body["choices"][1]["index"], 1);
    EXPECT_EQ(body["usage"]["completion_tokens"], 3) << "all candidates are counted";
}

// NaN has no order, and sorting by none may run out of bounds.
TEST_F(CompletionsTest, BestOfWithoutAnOrder) {
    add_worker();
    FakeExchange& exchange = complete({{"prompt", "a"}, {"best_of", 8}, {"n", 2}});
    ASSERT_EQ(worker_->submissions.size(), 8u);
    for (size_t i = 0; i < 8; ++i) {
        const Assignment& work = worker_->submissions[i];
        const float logprob = i == 5 ? -1.0f : std::numeric_limits<float>::quiet_NaN();
        const shm::TokenRecord record{
            work.flight, work.attempt,         2, static_cast<uint32_t>('0' + i),
            logprob,     shm::Finish::kLength, 0, 0};
        worker_->published.push_back([record](WorkerEvents& to) { to.on_token(record, {}); });
    }
    turn();
    const Json body = exchange.body();
    ASSERT_EQ(body["choices"].size(), 2u);
    EXPECT_EQ(body["choices"][0]["text"], "5");
    EXPECT_EQ(body["choices"][1]["text"], "0");
}

TEST_F(CompletionsTest, FactsThatAreNoUtf8DoNoHarm) {
    shm::ModelMessage message{};
    message.model_key = 2;
    message.is_default = 1;
    shm::set_field(message.id, "odd");
    message.facts.vocab = kTestVocab;
    message.facts.context = kTestContext;
    shm::set_field(message.facts.quantization, "I2_S\xE2");
    const auto image = std::make_shared<const std::vector<std::byte>>(make_test_image());
    auto model = Model::open(message, image, *image, {});
    ASSERT_TRUE(model.ok()) << model.error().message;
    catalog_.add(std::move(*model), shm::ModelStanding::kServing, true);
    worker_ = std::make_shared<FakeWorkerState>();
    dispatcher_.add_worker({++incarnation_, 2, 0, 8, "cpu:0", "avx2"},
                           std::make_unique<FakeWorker>(worker_), monotonic_ns());
    FakeExchange& exchange = complete({{"prompt", "a"}, {"model", "odd"}});
    produce_text(0, "x", shm::Finish::kLength);
    EXPECT_EQ(exchange.body()["usage"]["performance"]["quantization_used"], "I2_S\uFFFD");
}

TEST_F(CompletionsTest, Echo) {
    add_worker();
    FakeExchange& whole = complete({{"prompt", "ab"}, {"echo", true}});
    produce_text(0, "c", shm::Finish::kLength);
    EXPECT_EQ(whole.body()["choices"][0]["text"], "abc") << "the caller's text, no BOS";
    FakeExchange& stream =
        complete({{"prompt", Json::array({'x', 'y'})}, {"echo", true}, {"stream", true}});
    produce_text(1, "z", shm::Finish::kLength);
    EXPECT_EQ(stream.streamed_text(), "xyz");
    FakeExchange& none = complete({{"prompt", "ab"}, {"echo", true}, {"max_tokens", 0}});
    ASSERT_TRUE(none.response) << "nothing to compute";
    EXPECT_EQ(none.body()["choices"][0]["text"], "ab");
    EXPECT_EQ(none.body()["choices"][0]["finish_reason"], "length");
    EXPECT_EQ(none.body()["usage"]["completion_tokens"], 0);
    EXPECT_EQ(worker_->submissions.size(), 2u);
    EXPECT_EQ(complete({{"prompt", "ab"}, {"max_tokens", 0}}).response->status, 400);
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(CompletionsTest, LogprobsArrays) {
    add_worker();
    FakeExchange& exchange = complete({{"prompt", "a"}, {"logprobs", 2}});
    const Assignment& work = worker_->submissions[0];
    const std::vector<shm::Alternative> others = {{'q', -0.25f}, {'x', -1.5f}};
    const shm::TokenRecord first{work.flight, 1, 2, 'x', -1.5f, shm::Finish::kNone, 2, 0};
    const shm::TokenRecord last{work.flight, 1, 3, 'y', -INFINITY, shm::Finish::kLength, 0, 0};
    worker_->published.push_back([=](WorkerEvents& to) { to.on_token(first, others); });
    worker_->published.push_back([=](WorkerEvents& to) { to.on_token(last, {}); });
    turn();
    EXPECT_EQ(exchange.body()["choices"][0]["logprobs"], Json::parse(R"({
        "tokens": ["x", "y"], "token_logprobs": [-1.5, -9999.0],
        "top_logprobs": [{"q": -0.25, "x": -1.5}, {"y": -9999.0}], "text_offset": [0, 1]})"));
}

}  // namespace
}  // namespace bitnetd::frontend
