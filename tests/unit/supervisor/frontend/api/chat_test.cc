// Goal: POST /v1/chat/completions: the prompt that the template makes, the answer's shapes, and
// what
//   happens when things go wrong before and after the first byte.
// Method: requests through Api with a scripted worker; expectations written out.
#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

class ChatTest : public ApiTest {
  protected:
    static Json message(std::string_view role, Json content) {
        return {{"role", role}, {"content", std::move(content)}};
    }
    static std::string code_of(const FakeExchange& exchange) {
        return exchange.body()["error"]["code"];
    }
};

TEST_F(ChatTest, PromptComesFromTheTemplate) {
    add_worker();
    chat({{"messages", Json::array({message("user", "a")})}});
    ASSERT_EQ(worker_->submissions.size(), 1u);
    EXPECT_EQ(worker_->submissions[0].ids,
              (Ids{kBos, kUser, 'u', 's', 'e', 'r', ':', 'a', kEndOfTurn, kBot}));
    EXPECT_EQ(worker_->submissions[0].position_limit, kTestContext) << "the rest of the context";
}

TEST_F(ChatTest, UsersCannotWriteRoleMarkers) {
    add_worker();
    chat({{"messages", Json::array({message("user", "<|end|>")})}});
    Ids expected = {kBos, kUser};
    for (const uint32_t id : bytes_as_ids("user:<|end|>"))
        expected.push_back(id);
    expected.push_back(kEndOfTurn);
    expected.push_back(kBot);
    EXPECT_EQ(worker_->submissions[0].ids, expected);
}

TEST_F(ChatTest, ContentPartsAndRoles) {
    add_worker();
    const Json parts =
        Json::array({{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "b"}}});
    chat({{"messages", Json::array({message("developer", parts), message("assistant", nullptr)})}});
    Ids expected = {kBos, kUser};
    for (const uint32_t id : bytes_as_ids("system:ab"))
        expected.push_back(id);
    expected.push_back(kEndOfTurn);
    expected.push_back(kUser);
    for (const uint32_t id : bytes_as_ids("assistant:"))
        expected.push_back(id);
    expected.push_back(kEndOfTurn);
    expected.push_back(kBot);
    EXPECT_EQ(worker_->submissions[0].ids, expected);
}

TEST_F(ChatTest, BadMessages) {
    add_worker();
    const std::pair<Json, std::string> bad[] = {
        {Json::array(), "messages"},
        {"hi", "messages"},
        {Json::array({1}), "messages[0]"},
        {Json::array({{{"content", "a"}}}), "messages[0].role"},
        {Json::array({message("boss", "a")}), "messages[0].role"},
        {Json::array({message("user", "a"), message("user", 5)}), "messages[1].content"},
        {Json::array({{{"role", "user"}}}), "messages[0].content"},
        {Json::array({message("user", Json::array({{{"type", "image_url"}}}))}),
         "messages[0].content"},
    };
    for (const auto& [messages, param] : bad) {
        FakeExchange& exchange = chat({{"messages", messages}});
        ASSERT_TRUE(exchange.response) << messages;
        EXPECT_EQ(exchange.response->status, 400) << messages;
        EXPECT_EQ(exchange.body()["error"]["param"], param) << messages;
    }
    EXPECT_EQ(code_of(post("/v1/chat/completions", Json::object())), "missing_field");
}

TEST_F(ChatTest, WholeAnswer) {
    add_worker();
    FakeExchange& exchange = chat({{"seed", 9}});
    produce_text(0, "ok");
    produce(0, {kEndOfTurn}, shm::Finish::kEndOfGeneration);
    const Json body = exchange.body();
    EXPECT_TRUE(body["id"].get<std::string>().starts_with("chatcmpl-"));
    EXPECT_EQ(body["object"], "chat.completion");
    EXPECT_EQ(body["choices"], Json::parse(R"([{"index":0,
        "message":{"role":"assistant","content":"ok","refusal":null},
        "logprobs":null,"finish_reason":"stop"}])"));
}

TEST_F(ChatTest, StreamBytesAreExactlyThese) {
    add_worker();
    FakeExchange& exchange = chat({{"seed", 9}, {"stream", true}});
    EXPECT_FALSE(exchange.streaming) << "no head before a worker began";
    produce_text(0, "a\"\n\x01");
    produce(0, {kEndOfTurn}, shm::Finish::kEndOfGeneration);
    std::string head = exchange.stream.substr(0, exchange.stream.find("\"choices\""));
    std::string expected =
        head + R"("choices":[{"index":0,"delta":{"role":"assistant","content":""},)" +
        R"("logprobs":null,"finish_reason":null}]})" + "\n\n" + head +
        R"("choices":[{"index":0,"delta":{"content":"a\"\n\u0001"},"logprobs":null,)" +
        R"("finish_reason":null}]})" + "\n\n" + head +
        R"("choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]})" +
        "\n\ndata: [DONE]\n\n";
    EXPECT_EQ(exchange.stream, expected);
    const Json first = exchange.events()[0];
    EXPECT_EQ(first["object"], "chat.completion.chunk");
    EXPECT_EQ(first["seed"], 9);
    EXPECT_EQ(first["model"], "tiny");
}

TEST_F(ChatTest, LogprobsGoWithTheirText) {
    add_worker();
    FakeExchange& exchange = chat({{"stream", true}, {"logprobs", true}, {"stop", "xyz"}});
    produce_text(0, "ax");
    auto events = exchange.events();
    EXPECT_EQ(events.back()["choices"][0]["logprobs"]["content"].size(), 1u)
        << "the held-back x has not been said";
    EXPECT_EQ(events.back()["choices"][0]["logprobs"]["content"][0], Json::parse(R"(
        {"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]})"));
    produce_text(0, "yz");
    size_t tokens = 0;
    for (const Json& event : exchange.events()) {
        if (!event.is_object()) continue;
        const Json& logprobs = event["choices"][0]["logprobs"];
        if (logprobs.is_object()) tokens += logprobs["content"].size();
    }
    EXPECT_EQ(tokens, 1u) << "the stop string's tokens are dropped";
    EXPECT_EQ(exchange.streamed_text(), "a");
}

TEST_F(ChatTest, StopStringEndsTheFlightAndTheCount) {
    add_worker();
    FakeExchange& exchange = chat({{"stop", Json::array({"##", "END"})}});
    publish(0, bytes_as_ids("abcE"));
    turn();
    publish(0, bytes_as_ids("NDmore"));
    turn();
    const Json body = exchange.body();
    EXPECT_EQ(body["choices"][0]["message"]["content"], "abc");
    EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(body["usage"]["completion_tokens"], 6) << "up to the token that completed it";
    EXPECT_EQ(worker_->cancels.size(), 1u);
}

TEST_F(ChatTest, FailureBeforeTheFirstByteHasAStatus) {
    add_worker();
    FakeExchange& exchange = chat({{"stream", true}});
    worker_->publish_failed(worker_->submissions[0].flight, 1, shm::FailureCode::kBadNumbers);
    turn();
    ASSERT_TRUE(exchange.response);
    EXPECT_EQ(exchange.response->status, 500);
    EXPECT_EQ(code_of(exchange), "internal_error");
}

TEST_F(ChatTest, FailureBehindTheFirstByteIsAnEvent) {
    add_worker();
    FakeExchange& exchange = chat({{"stream", true}});
    produce_text(0, "a");
    worker_->publish_failed(worker_->submissions[0].flight, 1, shm::FailureCode::kBadNumbers);
    turn();
    ASSERT_TRUE(exchange.ended);
    EXPECT_EQ(exchange.events().back()["error"]["code"], "internal_error");
    EXPECT_EQ(exchange.events().back()["error"]["request_id"], "req-1");
}

TEST_F(ChatTest, TimeoutBeforeAndBehindTheFirstToken) {
    add_worker();
    FakeExchange& silent = chat({{"timeout_ms", 1}});
    FakeExchange& begun = chat({{"timeout_ms", 1}});
    publish(1, bytes_as_ids("ab"));
    dispatcher_.poll(monotonic_ns() + kNsPerS);
    ASSERT_TRUE(silent.response);
    EXPECT_EQ(silent.response->status, 408);
    EXPECT_EQ(silent.header("x-should-retry"), "false");
    ASSERT_TRUE(begun.response);
    EXPECT_EQ(begun.response->status, 200);
    EXPECT_EQ(begun.body()["choices"][0]["finish_reason"], "length");
    EXPECT_EQ(begun.body()["choices"][0]["message"]["content"], "ab");
}

TEST_F(ChatTest, AClientThatGoesCancels) {
    add_worker();
    FakeExchange& exchange = chat({{"n", 2}});
    produce_text(0, "a");
    exchange.on_gone();
    EXPECT_EQ(worker_->cancels.size(), 2u);
    EXPECT_EQ(dispatcher_.active(), 0u);
    api_.end_turn();
    EXPECT_EQ(api_.active(), 0u);
    EXPECT_FALSE(exchange.answered());
    exchange.on_gone = nullptr;
}

TEST_F(ChatTest, AClientMayGoWhileItsRequestIsPrepared) {
    add_worker();
    tasks_.at_once = false;
    FakeExchange& exchange = chat({});
    EXPECT_EQ(api_.active(), 1u);
    std::exchange(exchange.on_gone, {})();
    tasks_.run_all();
    EXPECT_TRUE(worker_->submissions.empty());
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(ChatTest, ASlowReaderGetsTheSameTextLater) {
    add_worker();
    FakeExchange& exchange = chat({{"stream", true}, {"stop", "Z"}});
    produce_text(0, "a");
    const size_t sends = exchange.sends;
    exchange.unsent = kSlowReaderBytes + 1;
    produce_text(0, "bc");
    produce_text(0, "dZe", shm::Finish::kLength);
    EXPECT_EQ(exchange.sends, sends) << "ids are kept, nothing is rendered";
    EXPECT_EQ(dispatcher_.active(), 0u) << "the worker is not held up";
    exchange.unsent = 0;
    exchange.on_drained();
    ASSERT_TRUE(exchange.ended);
    EXPECT_EQ(exchange.streamed_text(), "abcd");
}

TEST_F(ChatTest, RefusalsOfTheGate) {
    // The model is known, its worker is expected at any moment: the request waits.
    admission_.add_model(kTestModelKey, monotonic_ns());
    FakeExchange& waiting = chat({});
    EXPECT_FALSE(waiting.answered());
    // Not so when none came for long.
    admission_.add_model(kTestModelKey, monotonic_ns() - 2 * Admission::kRestartGraceNs);
    FakeExchange& loading = chat({});
    EXPECT_EQ(loading.response->status, 503);
    EXPECT_EQ(code_of(loading), "model_loading");
    EXPECT_GE(std::stoi(loading.header("Retry-After")), 1);
    EXPECT_GE(std::stoi(loading.header("retry-after-ms")), 100);

    add_worker(1);
    std::vector<FakeExchange*> queued;
    for (int i = 0; i < 9; ++i)
        queued.push_back(&chat({}));
    EXPECT_FALSE(queued[7]->answered());
    ASSERT_TRUE(queued[8]->answered());
    EXPECT_EQ(code_of(*queued[8]), "queue_full");
    EXPECT_EQ(board_.counter(Counter::kGenerationsRefused), 2u);

    admission_.begin_drain(monotonic_ns());
    FakeExchange& draining = chat({});
    EXPECT_EQ(code_of(draining), "draining");
    EXPECT_NEAR(std::stoi(draining.header("Retry-After")), 30, 1);
}

TEST_F(ChatTest, AllChoicesOrNone) {
    add_worker(1);
    for (int i = 0; i < 5; ++i)
        chat({});
    FakeExchange& many = chat({{"n", 10}});
    ASSERT_TRUE(many.answered());
    EXPECT_EQ(code_of(many), "queue_full");
    EXPECT_EQ(dispatcher_.active(), 5u);
    EXPECT_FALSE(many.on_gone);
}

TEST_F(ChatTest, ModelLookUp) {
    add_worker();
    FakeExchange& unknown = chat({{"model", "nope"}});
    EXPECT_EQ(unknown.response->status, 404);
    EXPECT_EQ(code_of(unknown), "model_not_found");
    EXPECT_EQ(unknown.body()["error"]["param"], "model");
    EXPECT_FALSE(chat({{"model", "tiny"}}).answered());
}

TEST_F(ChatTest, AModelWithoutTemplateSaysSo) {
    catalog_.add(make_test_model(make_test_image(""), "bare", 2));
    FakeExchange& exchange = chat({{"model", "bare"}});
    EXPECT_EQ(exchange.response->status, 400);
    EXPECT_EQ(exchange.body()["error"]["param"], "model");
}

}  // namespace
}  // namespace bitnetd::frontend
