// Goal: `echo` with `logprobs` gives every token of prompt and answer its logprob, in the places
// where
//   programs that score texts look for them, streamed and whole alike.
// Method: requests through Api with a scripted worker; expectations written out.
#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

using Floats = std::vector<float>;
using Others = std::vector<std::vector<shm::Alternative>>;

class EchoScoresTest : public ApiTest {
  protected:
    EchoScoresTest() { add_worker(); }

    FakeExchange& echo(Json body) {
        body["echo"] = true;
        if (!body.contains("logprobs")) body["logprobs"] = 0;
        return complete(body);
    }
    // The worker publishes the scores of its n-th submission's prompt.
    void score(size_t submission, const Floats& logprobs, uint32_t first = 1) {
        const Assignment& work = worker_->submissions[submission];
        worker_->publish_scores(work.flight, work.attempt, first, logprobs);
        turn();
    }
    static Json logprobs_of(FakeExchange& exchange, size_t choice = 0) {
        EXPECT_TRUE(exchange.response);
        return exchange.body()["choices"][choice]["logprobs"];
    }
};

TEST_F(EchoScoresTest, ScoresOnly) {
    FakeExchange& exchange =
        echo({{"prompt", Ids{'a', 'b', 'c'}}, {"logprobs", 1}, {"max_tokens", 0}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    const Assignment& work = worker_->submissions[0];
    EXPECT_EQ(work.flags, uint32_t{shm::kScorePrompt | shm::kWantLogprobs});
    EXPECT_EQ(work.position_limit, 3u);
    const Others others = {{{'x', -0.5f}}, {{'c', -2.0f}}};
    worker_->publish_scores(work.flight, 1, 1, {-1, -2}, others);
    turn();
    ASSERT_TRUE(exchange.response);
    const Json body = exchange.body();
    EXPECT_EQ(body["choices"], Json::parse(R"([{"index":0, "text":"abc", "logprobs":{
        "tokens": ["a","b","c"], "token_logprobs": [null,-1.0,-2.0],
        "top_logprobs": [null, {"x":-0.5,"b":-1.0}, {"c":-2.0}],
        "text_offset": [0,1,2]}, "finish_reason":"length"}])"));
    EXPECT_EQ(body["usage"]["prompt_tokens"], 3);
    EXPECT_EQ(body["usage"]["completion_tokens"], 0);
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(EchoScoresTest, AnAddedBosHasNoEntryAndGivesTheFirstTokenItsLogprob) {
    FakeExchange& exchange = echo({{"prompt", "ab"}, {"max_tokens", 0}});
    EXPECT_EQ(worker_->submissions[0].ids, (Ids{kBos, 'a', 'b'}));
    score(0, {-1, -2});
    EXPECT_EQ(exchange.body()["choices"][0]["text"], "ab");
    EXPECT_EQ(logprobs_of(exchange)["tokens"], Json({"a", "b"}));
    EXPECT_EQ(logprobs_of(exchange)["token_logprobs"], Json({-1.0, -2.0}));
    EXPECT_EQ(logprobs_of(exchange)["text_offset"], Json({0, 1}));

    FakeExchange& nothing = echo({{"prompt", ""}, {"max_tokens", 0}});
    score(1, {});
    EXPECT_EQ(logprobs_of(nothing)["tokens"], Json::array());
    EXPECT_EQ(nothing.body()["choices"][0]["text"], "");
}

TEST_F(EchoScoresTest, OneEntryPerTokenOfPromptAndAnswer) {
    // What lm-evaluation-harness asks for; it drops the last entry, whatever was generated.
    FakeExchange& exchange =
        echo({{"prompt", Ids{'a', 'b'}}, {"max_tokens", 1}, {"temperature", 0}});
    score(0, {-1});
    EXPECT_FALSE(exchange.answered());
    produce(0, {kEndOfTurn}, shm::Finish::kEndOfGeneration);
    EXPECT_EQ(exchange.body()["choices"][0]["text"], "ab");
    EXPECT_EQ(exchange.body()["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(logprobs_of(exchange)["token_logprobs"], Json::parse("[null,-1.0,-0.5]"));
    EXPECT_EQ(logprobs_of(exchange)["tokens"], Json({"a", "b", ""}));

    FakeExchange& longer = echo({{"prompt", Ids{'a', 'b'}}, {"max_tokens", 2}});
    score(1, {-1});
    produce_text(1, "yz", shm::Finish::kLength);
    EXPECT_EQ(longer.body()["choices"][0]["text"], "abyz");
    EXPECT_EQ(logprobs_of(longer)["tokens"], Json({"a", "b", "y", "z"}));
    EXPECT_EQ(logprobs_of(longer)["token_logprobs"], Json::parse("[null,-1.0,-0.5,-0.5]"));
    EXPECT_EQ(logprobs_of(longer)["text_offset"], Json({0, 1, 2, 3}));
}

TEST_F(EchoScoresTest, AStreamBeginsWithThePromptAndAddsUpToTheWhole) {
    const Json body = {{"prompt", "ab"}, {"max_tokens", 8}, {"logprobs", 1}};
    FakeExchange& whole = echo(body);
    Json streamed_body = body;
    streamed_body["stream"] = true;
    FakeExchange& stream = echo(streamed_body);
    for (const size_t i : {0u, 1u}) {
        score(i, {-1});
        score(i, {-2}, 2);
        produce_text(i, "yz");
        produce(i, {kEndOfTurn}, shm::Finish::kEndOfGeneration);
    }
    ASSERT_TRUE(stream.ended);
    const auto events = stream.events();
    EXPECT_EQ(events[0]["choices"][0]["text"], "ab") << "once all of its scores are there";
    EXPECT_EQ(events[0]["choices"][0]["logprobs"]["token_logprobs"], Json({-1.0, -2.0}));
    EXPECT_EQ(stream.streamed_text(), whole.body()["choices"][0]["text"]);
    Json joined = {{"tokens", Json::array()},
                   {"token_logprobs", Json::array()},
                   {"top_logprobs", Json::array()},
                   {"text_offset", Json::array()}};
    for (const Json& event : events) {
        if (!event.is_object() || event["choices"][0]["logprobs"].is_null()) continue;
        for (const auto& [name, list] : event["choices"][0]["logprobs"].items())
            joined[name].insert(joined[name].end(), list.begin(), list.end());
    }
    EXPECT_EQ(joined, logprobs_of(whole));
}

TEST_F(EchoScoresTest, APromptOfOneToken) {
    FakeExchange& whole = echo({{"prompt", Ids{'a'}}, {"max_tokens", 0}});
    score(0, {});
    EXPECT_EQ(logprobs_of(whole)["token_logprobs"], Json::parse("[null]"));
    EXPECT_EQ(whole.body()["choices"][0]["text"], "a");
    FakeExchange& stream = echo({{"prompt", Ids{'a'}}, {"max_tokens", 1}, {"stream", true}});
    score(1, {});
    produce_text(1, "b", shm::Finish::kLength);
    EXPECT_EQ(stream.streamed_text(), "ab");
}

TEST_F(EchoScoresTest, PromptsAndChoicesEachHaveTheirOwn) {
    FakeExchange& exchange = echo(
        {{"prompt", Json::array({Ids{'a', 'b'}, Ids{'c', 'd'}})}, {"n", 2}, {"max_tokens", 0}});
    ASSERT_EQ(worker_->submissions.size(), 4u);
    for (const size_t i : {2u, 0u, 3u, 1u})
        score(i, {i < 2 ? -1.0f : -2.0f});
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(exchange.body()["choices"][i]["text"], i < 2 ? "ab" : "cd");
        EXPECT_EQ(logprobs_of(exchange, i)["token_logprobs"][1], i < 2 ? -1.0 : -2.0);
    }
}

TEST_F(EchoScoresTest, TokensSpellTheCallersText) {
    FakeExchange& special = echo({{"prompt", "a<|end|>b"}, {"max_tokens", 0}});
    score(0, {-1, -2, -3});
    EXPECT_EQ(special.body()["choices"][0]["text"], "a<|end|>b");
    EXPECT_EQ(logprobs_of(special)["tokens"], Json({"a", "<|end|>", "b"}));
    EXPECT_EQ(logprobs_of(special)["text_offset"], Json({0, 1, 8}));

    const std::string smile = "\U0001F600";
    FakeExchange& split = echo({{"prompt", bytes_as_ids(smile + "!\xE2")}, {"max_tokens", 0}});
    score(1, {-1, -2, -3, -4, -5});
    EXPECT_EQ(split.body()["choices"][0]["text"], smile + "!\uFFFD");
    EXPECT_EQ(logprobs_of(split)["tokens"], Json({"", "", "", smile, "!", "\uFFFD"}));
    EXPECT_EQ(logprobs_of(split)["text_offset"], Json({0, 0, 0, 0, 1, 2})) << "characters";
}

TEST_F(EchoScoresTest, OfTokensThatPrintAlikeTheLikeliestIsShown) {
    FakeExchange& exchange = echo({{"prompt", Ids{'a', 0x81}}, {"logprobs", 3}, {"max_tokens", 0}});
    const Others others = {{{0x80, -0.5f}, {'b', -1.0f}, {0x82, -4.0f}}};
    worker_->publish_scores(worker_->submissions[0].flight, 1, 1, {-2}, others);
    turn();
    EXPECT_EQ(logprobs_of(exchange)["top_logprobs"][1], Json({{"\uFFFD", -0.5}, {"b", -1.0}}))
        << "the greatest is not hidden: who compares with it sees that the prompt's is not it";
    EXPECT_EQ(logprobs_of(exchange)["token_logprobs"][1], -2.0);
}

TEST_F(EchoScoresTest, APromptMayFillTheContextWhenNothingIsGenerated) {
    echo({{"prompt", Ids(kTestContext, 'a')}, {"max_tokens", 0}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    EXPECT_EQ(worker_->submissions[0].position_limit, kTestContext);
    for (const size_t count : {kTestContext, kTestContext + 1}) {
        FakeExchange& full =
            echo({{"prompt", Ids(count, 'a')}, {"max_tokens", count == kTestContext ? 1 : 0}});
        ASSERT_TRUE(full.response);
        EXPECT_EQ(full.body()["error"]["code"], "context_length_exceeded");
    }
}

TEST_F(EchoScoresTest, TimeThatIsOverBeforeTheScoresAreThereIsAnError) {
    FakeExchange& exchange = echo({{"prompt", "ab"}, {"timeout_ms", 1}});
    score(0, {-1});
    dispatcher_.poll(monotonic_ns() + kNsPerS);
    ASSERT_TRUE(exchange.response);
    EXPECT_EQ(exchange.response->status, 408);
}

TEST(PreparedScoresTest, ScoresOfOneAnswerAreBounded) {
    const ModelList models = {make_test_model()};
    RequestLimits limits;
    limits.prompt_scores_max = 24;
    const auto refused = [&](const Json& body) {
        const auto result = prepare(RouteKind::kCompletions, body.dump(), models, limits);
        const auto* error = std::get_if<ApiError>(&result);
        EXPECT_TRUE(error == nullptr || (error->status == 400 && error->param == "logprobs"));
        return error != nullptr;
    };
    const Json four = {{"prompt", Json::array({Ids{1, 2}, Ids{3, 4}})}, {"echo", true}};
    const auto with = [&four](Json more) {
        more.update(four);
        return more;
    };
    EXPECT_FALSE(refused(with({{"logprobs", 5}})));
    EXPECT_TRUE(refused(with({{"logprobs", 6}})));
    EXPECT_FALSE(refused(with({{"logprobs", 2}, {"n", 2}})));
    EXPECT_TRUE(refused(with({{"logprobs", 3}, {"n", 2}})));
    EXPECT_FALSE(refused(with({{"n", 16}}))) << "without logprobs nothing is scored";
}

}  // namespace
}  // namespace bitnetd::frontend
