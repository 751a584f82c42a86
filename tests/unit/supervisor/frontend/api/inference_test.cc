// Goal: /v1/inference and its stream answer in BitNet.rs's shapes, with its defaults, and every
//   figure in them is one that somebody measured, or null.
// Method: requests through Api with a scripted worker and its board; events by name, progress with
//   a given clock.
#include <regex>

#include "supervisor/frontend/api/inference_renderer.h"
#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

struct Event {
    std::string name;
    Json data;
};

std::vector<Event> parse_events(const std::string& stream) {
    std::vector<Event> events;
    size_t at = 0;
    while (at < stream.size()) {
        const size_t end = stream.find("\n\n", at);
        EXPECT_NE(end, std::string::npos);
        const std::string event = stream.substr(at, end - at);
        const size_t line = event.find("\ndata: ");
        EXPECT_EQ(event.rfind("event: ", 0), 0u) << event;
        EXPECT_NE(line, std::string::npos) << event;
        events.push_back({event.substr(7, line - 7), Json::parse(event.substr(line + 7))});
        at = end + 2;
    }
    return events;
}

std::vector<std::string> names_of(const std::vector<Event>& events) {
    std::vector<std::string> names;
    for (const Event& event : events)
        names.push_back(event.name);
    return names;
}

// A worker's board, as the frontend has it.
class WorkerBoard {
  public:
    explicit WorkerBoard(uint64_t incarnation) {
        EXPECT_TRUE(shm::init_board(memory(), {shm::Role::kWorker, 0, incarnation, "cpu:0"}).ok());
    }
    shm::BoardView view() { return shm::BoardView::open(memory()).value(); }
    void set_resident(uint64_t bytes) { writer().set_gauge(Gauge::kResidentBytes, bytes); }
    void step(uint64_t rows) {
        auto board = writer();
        board.count(Counter::kSteps);
        board.count(Counter::kStepRows, rows);
    }

  private:
    shm::BoardWriter writer() { return std::move(shm::BoardWriter::open(memory())).value(); }
    std::span<std::byte> memory() {
        return {reinterpret_cast<std::byte*>(board_.get()), sizeof(shm::Board)};
    }
    std::unique_ptr<shm::Board> board_ = std::make_unique<shm::Board>();
};

class InferenceTest : public ApiTest {
  protected:
    InferenceTest() {
        worker_board_.set_resident(3'000'000);
        worker_board_.step(100);  // of others, before
        boards_.add(worker_board_.view());
        add_worker();
    }
    FakeExchange& infer(const Json& body) { return post("/v1/inference", body); }
    FakeExchange& infer_stream(const Json& body) { return post("/v1/inference/stream", body); }

    WorkerBoard worker_board_{1};
};

TEST_F(InferenceTest, WholeAnswer) {
    FakeExchange& exchange = infer({{"prompt", "ab"}, {"max_tokens", 3}, {"seed", 7}});
    worker_board_.step(3);
    worker_board_.step(1);
    produce_text(0, "xyz", shm::Finish::kLength);
    ASSERT_TRUE(exchange.response);
    EXPECT_EQ(exchange.response->status, 200);
    const Json answer = exchange.body();
    EXPECT_EQ(answer["text"], "xyz");
    EXPECT_EQ(answer["tokens_generated"], 3);
    EXPECT_EQ(answer["finish_reason"], "length");
    EXPECT_EQ(answer["model_id"], "tiny");
    EXPECT_EQ(answer["seed"], 7);
    EXPECT_EQ(answer["quantization_used"], "I2_S");
    EXPECT_EQ(answer["device_used"], "cpu");
    const std::regex uuid("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
    EXPECT_TRUE(std::regex_match(answer["request_id"].get<std::string>(), uuid));
    const Json& performance = answer["performance_metrics"];
    EXPECT_EQ(performance["batch_size"], 2);
    EXPECT_EQ(performance["memory_usage_mb"], 3);
    EXPECT_GE(performance["queue_time_ms"], 0);
    EXPECT_GE(answer["inference_time_ms"], performance["processing_time_ms"]);
    EXPECT_EQ(answer["accuracy_metrics"]["quantization_accuracy"], 0.875);
    EXPECT_EQ(answer["accuracy_metrics"]["cross_validation_score"], 0.5);
    EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);  // with BOS
    EXPECT_EQ(answer["usage"]["completion_tokens"], 3);
}

TEST_F(InferenceTest, DefaultsAreThoseOfTheRoute) {
    const auto params_of = [&](const char* body) {
        auto result = prepare(RouteKind::kInference, body, *catalog_.list(), {});
        EXPECT_TRUE(std::holds_alternative<Prepared>(result)) << body;
        return std::get<Prepared>(std::move(result)).params;
    };
    const GenerationParams params = params_of(R"({"prompt":"ab"})");
    EXPECT_FLOAT_EQ(params.sampling.temperature, 0.7f);
    EXPECT_FLOAT_EQ(params.sampling.top_p, 0.9f);
    EXPECT_EQ(params.sampling.top_k, 50u);
    EXPECT_EQ(params.max_tokens, 64u);
    EXPECT_FALSE(params.stream);
    const GenerationParams given = params_of(
        R"({"prompt":"ab","temperature":0,"top_p":1,"top_k":0,"max_tokens":5,"stream":true})");
    EXPECT_EQ(given.sampling.temperature, 0);
    EXPECT_EQ(given.sampling.top_p, 1);
    EXPECT_EQ(given.sampling.top_k, 0u);
    EXPECT_EQ(given.max_tokens, 5u);
    EXPECT_TRUE(given.stream);
}

TEST_F(InferenceTest, StopSequencesAreStopStrings) {
    FakeExchange& exchange = infer({{"prompt", "a"}, {"stop_sequences", {"end", "yz"}}});
    produce_text(0, "wxyz");
    EXPECT_EQ(exchange.body()["text"], "wx");
    EXPECT_EQ(exchange.body()["finish_reason"], "stop");
    FakeExchange& both = infer({{"prompt", "a"}, {"stop", "x"}, {"stop_sequences", {"y"}}});
    EXPECT_EQ(both.body()["error"]["param"], "stop_sequences");
}

TEST_F(InferenceTest, WhatOneTextCannotShowIsRefused) {
    const auto refused = [&](Json body) {
        body["prompt"] = body.value("prompt", Json("a"));
        FakeExchange& exchange = infer(body);
        EXPECT_TRUE(exchange.response) << body.dump();
        return exchange.response ? exchange.body()["error"]["param"].get<std::string>() : "";
    };
    EXPECT_EQ(refused({{"n", 2}}), "n");
    EXPECT_EQ(refused({{"best_of", 2}}), "best_of");
    EXPECT_EQ(refused({{"logprobs", true}}), "logprobs");
    EXPECT_EQ(refused({{"top_logprobs", 3}}), "top_logprobs");
    EXPECT_EQ(refused({{"prompt", ""}}), "prompt");
    EXPECT_EQ(refused({{"prompt", {"a", "b"}}}), "prompt");
    EXPECT_EQ(infer_stream({{"prompt", "a"}, {"stream", false}}).body()["error"]["param"],
              "stream");
    EXPECT_TRUE(worker_->submissions.empty());
    infer({{"prompt", "a"}, {"n", 1}, {"logprobs", false}});
    EXPECT_EQ(worker_->submissions.size(), 1u);
}

TEST_F(InferenceTest, Stream) {
    FakeExchange& exchange = infer_stream({{"prompt", "a"}, {"max_tokens", 4}, {"seed", 9}});
    produce_text(0, "xy");
    produce_text(0, "zw", shm::Finish::kLength);
    ASSERT_TRUE(exchange.ended);
    const auto events = parse_events(exchange.stream);
    EXPECT_EQ(names_of(events),
              (std::vector<std::string>{"token", "token", "metrics", "complete"}));
    EXPECT_EQ(events[0].data["type"], "token");
    EXPECT_EQ(events[0].data["text"], "xy");
    EXPECT_EQ(events[0].data["position"], 1);
    EXPECT_GT(events[0].data["timestamp"], 1'700'000'000'000);
    EXPECT_EQ(events[1].data["text"], "zw");
    EXPECT_EQ(events[1].data["position"], 3);
    EXPECT_EQ(events[2].data["device"], "cpu");
    EXPECT_EQ(events[2].data["memory_usage_mb"], 3);
    EXPECT_EQ(events[2].data["quantization_accuracy"], 0.875);
    EXPECT_EQ(events[3].data["total_tokens"], 4);
    EXPECT_EQ(events[3].data["finish_reason"], "length");
    EXPECT_EQ(events[3].data["seed"], 9);
    EXPECT_EQ(events[3].data["request_id"].get<std::string>().size(), 36u);
}

TEST_F(InferenceTest, TimeOverEndsWithWhatThereIs) {
    FakeExchange& whole = infer({{"prompt", "a"}, {"timeout_ms", 1000}});
    FakeExchange& streamed = infer_stream({{"prompt", "a"}, {"timeout_ms", 1000}});
    FakeExchange& nothing = infer({{"prompt", "b"}, {"timeout_ms", 1000}});
    FakeExchange& openai = complete({{"prompt", "b"}, {"timeout_ms", 1000}, {"max_tokens", 9}});
    produce_text(0, "x");
    produce_text(1, "y");
    produce_text(3, "z");
    dispatcher_.poll(monotonic_ns() + 2000 * kNsPerMs);
    EXPECT_EQ(whole.body()["text"], "x");
    EXPECT_EQ(whole.body()["finish_reason"], "timeout");
    EXPECT_EQ(parse_events(streamed.stream).back().data["finish_reason"], "timeout");
    EXPECT_EQ(nothing.response->status, 408);
    EXPECT_EQ(openai.body()["choices"][0]["finish_reason"], "length");
}

TEST_F(InferenceTest, AFailureInTheStreamIsANamedEvent) {
    FakeExchange& exchange = infer_stream({{"prompt", "a"}});
    produce_text(0, "x");
    dispatcher_.end_all(EndReason::kShutdown, monotonic_ns());
    ASSERT_TRUE(exchange.ended);
    const auto events = parse_events(exchange.stream);
    EXPECT_EQ(names_of(events), (std::vector<std::string>{"token", "error"}));
    EXPECT_EQ(events[1].data["code"], "draining");
    EXPECT_FALSE(events[1].data["message"].get<std::string>().empty());
    EXPECT_EQ(events[1].data["details"]["request_id"], "req-1");
    EXPECT_EQ(events[1].data["details"]["type"], "overloaded_error");
}

// Of a worker whose board is gone nothing is made up.
TEST_F(InferenceTest, WhatIsNotKnownIsNull) {
    boards_.remove(1);
    FakeExchange& exchange = infer({{"prompt", "a"}, {"max_tokens", 1}});
    produce_text(0, "x", shm::Finish::kLength);
    const Json answer = exchange.body();
    EXPECT_EQ(answer["performance_metrics"]["batch_size"], nullptr);
    EXPECT_EQ(answer["performance_metrics"]["memory_usage_mb"], nullptr);
    EXPECT_EQ(answer["tokens_per_second"], 0);  // the only token ended prefill
}

TEST_F(InferenceTest, ProgressComesEachSecond) {
    InferenceRenderer renderer({}, catalog_.list()->front().model, /*tokens_max=*/100, boards_,
                               "r");
    FlightStart start;
    start.prefill_done_ns = 5 * kNsPerS;
    renderer.on_started(start);
    std::string out;
    const auto names_at = [&](uint64_t ms, uint64_t tokens, std::string_view text) {
        out.clear();
        renderer.append_text(out, {.index = 0,
                                   .text = text,
                                   .scores = {},
                                   .token_count = tokens,
                                   .last_token_ns = 5 * kNsPerS + ms * kNsPerMs});
        return names_of(parse_events(out));
    };
    using Names = std::vector<std::string>;
    EXPECT_EQ(names_at(1, 1, "a"), Names{"token"});
    EXPECT_EQ(names_at(999, 10, "b"), Names{"token"});
    EXPECT_EQ(names_at(1000, 21, ""), Names{"progress"});  // text that is held back is none
    const Json progress = parse_events(out).back().data;
    EXPECT_EQ(progress["tokens_generated"], 21);
    EXPECT_DOUBLE_EQ(progress["tokens_per_second"], 20);
    EXPECT_DOUBLE_EQ(progress["estimated_remaining_ms"], 79 * 1000 / 20.0);
    EXPECT_EQ(names_at(1999, 30, "c"), Names{"token"});
    EXPECT_EQ(names_at(2000, 31, "d"), (Names{"token", "progress"}));
}

}  // namespace
}  // namespace bitnetd::frontend
