// Goal: POST /v1/embeddings answers as the OpenAI API does, whatever order workers finish in, and
//   refuses what it cannot do with an error that names the field.
// Method: requests through Api with a scripted worker; expectations written out.
#include "supervisor/frontend/api/embeddings.h"

#include <cmath>

#include "supervisor/frontend/api/embedding_text.h"
#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

using Floats = std::vector<float>;

class EmbeddingsTest : public ApiTest {
  protected:
    FakeExchange& embed(const Json& body) { return post("/v1/embeddings", body); }
    // The worker's embedding of its n-th submission, in two parts.
    void publish(size_t submission, const Floats& values) {
        const Assignment& work = worker_->submissions[submission];
        const auto count = static_cast<uint32_t>(values.size());
        worker_->publish_started(work.flight, work.attempt, monotonic_ns());
        worker_->publish_embedding(work.flight, work.attempt, 0, {values[0]}, count);
        worker_->publish_embedding(work.flight, work.attempt, 1, {values.begin() + 1, values.end()},
                                   count);
        turn();
    }
    void expect_refused(const Json& body, std::string_view param, std::string_view code) {
        FakeExchange& exchange = embed(body);
        ASSERT_TRUE(exchange.response) << body;
        EXPECT_EQ(exchange.response->status, 400) << body;
        EXPECT_EQ(exchange.body()["error"]["param"], param) << body;
        EXPECT_EQ(exchange.body()["error"]["code"], code) << body;
    }
};

TEST_F(EmbeddingsTest, AnswersInTheOrderOfTheInputs) {
    add_worker();
    FakeExchange& exchange = embed({{"input", Json::array({"ab", "c"})}, {"model", "tiny"}});
    ASSERT_EQ(worker_->submissions.size(), 2u) << "each is a flight of its own";
    EXPECT_EQ(worker_->submissions[0].ids, (Ids{kBos, 'a', 'b'}));
    EXPECT_EQ(worker_->submissions[0].flags, shm::kWantEmbedding);
    EXPECT_EQ(worker_->submissions[0].position_limit, 3u);
    publish(1, {0, 0, 0, 0});
    EXPECT_FALSE(exchange.answered());
    publish(0, {3, 0, 0, -4});
    ASSERT_TRUE(exchange.response);
    EXPECT_EQ(exchange.response->status, 200);
    EXPECT_EQ(exchange.body(), Json::parse(R"({"object":"list","data":[
        {"object":"embedding","index":0,"embedding":[0.6,0,0,-0.8]},
        {"object":"embedding","index":1,"embedding":[0,0,0,0]}],
        "model":"tiny","usage":{"prompt_tokens":5,"total_tokens":5}})"));
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(EmbeddingsTest, InputForms) {
    add_worker();
    embed({{"input", "hello"}});
    embed({{"input", Ids{1, 2}}});
    embed({{"input", Json::array({Ids{4}, Ids{5, 6}})}, {"user", "me"}, {"stream", true}});
    embed({{"input", Ids(kTestContext, 1)}});
    std::vector<Ids> inputs;
    for (const Assignment& work : worker_->submissions)
        inputs.push_back(work.ids);
    EXPECT_EQ(inputs,
              (std::vector<Ids>{{kBos, kHello}, {1, 2}, {4}, {5, 6}, Ids(kTestContext, 1)}));
}

TEST_F(EmbeddingsTest, DimensionsAreTheFirstOnesAtLengthOne) {
    add_worker();
    FakeExchange& exchange = embed({{"input", "a"}, {"dimensions", 2}});
    publish(0, {3, 4, 12, 84});
    EXPECT_EQ(exchange.body()["data"][0]["embedding"], Json::parse("[0.6,0.8]"));
}

TEST_F(EmbeddingsTest, Base64HoldsLittleEndianFloats) {
    add_worker();
    FakeExchange& exchange = embed({{"input", "a"}, {"encoding_format", "base64"}});
    publish(0, {0, 1, 0, 0});
    // 0x00000000, 0x3f800000, 0, 0
    EXPECT_EQ(exchange.body()["data"][0]["embedding"], "AAAAAAAAgD8AAAAAAAAAAA==");
}

TEST_F(EmbeddingsTest, RefusesWhatItCannotDo) {
    add_worker();
    expect_refused({{"model", "tiny"}}, "input", "missing_field");
    for (const Json& bad : {Json(""), Json::array(), Json(7), Json::array({"a", ""}),
                            Json::array({"a", 1}), Json::array({Json::array()}),
                            Json::array({kTestVocab}), Json::array({-1}), Json::object()}) {
        expect_refused({{"input", bad}}, "input", "invalid_value");
    }
    expect_refused({{"input", Ids(kTestContext + 1, 1)}}, "input", "context_length_exceeded");
    expect_refused({{"input", std::vector<std::string>(1025, "a")}}, "input", "invalid_value");
    for (const Json& bad : {Json(0), Json(kTestHidden + 1), Json(-1), Json(1.5), Json("2")}) {
        expect_refused({{"input", "a"}, {"dimensions", bad}}, "dimensions", "invalid_value");
    }
    expect_refused({{"input", "a"}, {"encoding_format", "int8"}}, "encoding_format",
                   "invalid_value");
    expect_refused({{"input", "a"}, {"priority", "urgent"}}, "priority", "invalid_value");
    expect_refused({{"input", "a"}, {"timeout_ms", 0}}, "timeout_ms", "invalid_value");
    EXPECT_EQ(embed({{"input", "a"}, {"model", "nonesuch"}}).response->status, 404);
    EXPECT_EQ(send(Method::kPost, "/v1/embeddings", "{").response->status, 400);
    EXPECT_EQ(send(Method::kGet, "/v1/embeddings").response->status, 405);
    EXPECT_TRUE(worker_->submissions.empty());
}

TEST_F(EmbeddingsTest, MoreThanTheQueueHoldsIsRefusedAsAWhole) {
    FakeExchange& exchange = embed({{"input", std::vector<std::string>(9, "a")}});
    ASSERT_TRUE(exchange.response);
    EXPECT_EQ(exchange.response->status, 503);
    EXPECT_EQ(exchange.body()["error"]["code"], "model_loading");
    add_worker(1);
    FakeExchange& full = embed({{"input", std::vector<std::string>(10, "a")}});
    ASSERT_TRUE(full.response);
    EXPECT_EQ(full.body()["error"]["code"], "queue_full");
    EXPECT_EQ(dispatcher_.active(), 0u) << "nothing of it is left behind";
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(EmbeddingsTest, AClientThatGoesTakesItsWorkAlong) {
    add_worker();
    FakeExchange& exchange = embed({{"input", Json::array({"a", "b"})}});
    publish(0, {1, 0, 0, 0});
    std::exchange(exchange.on_gone, {})();
    turn();
    EXPECT_EQ(dispatcher_.active(), 0u);
    EXPECT_EQ(worker_->cancels.size(), 1u);
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(EmbeddingsTest, TheFirstFailureFailsTheRequest) {
    add_worker();
    FakeExchange& late = embed({{"input", Json::array({"a", "b"})}, {"timeout_ms", 1}});
    publish(0, {1, 0, 0, 0});
    dispatcher_.poll(monotonic_ns() + kNsPerS);
    ASSERT_TRUE(late.response);
    EXPECT_EQ(late.response->status, 408);
    EXPECT_EQ(late.body()["error"]["param"], "timeout_ms");

    FakeExchange& infinite = embed({{"input", Json::array({"a", "b"})}});
    publish(2, {1, INFINITY, 0, 0});
    ASSERT_TRUE(infinite.response);
    EXPECT_EQ(infinite.response->status, 500);
    EXPECT_EQ(infinite.body()["error"]["code"], "internal_error");
    EXPECT_EQ(dispatcher_.active(), 0u) << "its other input is cancelled";
}

TEST(EmbeddingTextTest, LengthOneWhateverTheLengthWas) {
    for (const float scale : {1e-30f, 1e-3f, 1.0f, 1e30f}) {
        Floats values = {3 * scale, 4 * scale};
        ASSERT_TRUE(shape_embedding(values, 2));
        EXPECT_FLOAT_EQ(values[0], 0.6f) << scale;
        EXPECT_FLOAT_EQ(values[1], 0.8f) << scale;
    }
    Floats cut = {0, 0, 5};
    ASSERT_TRUE(shape_embedding(cut, 2));
    EXPECT_EQ(cut, (Floats{0, 0}));
    Floats nan = {1, NAN};
    EXPECT_FALSE(shape_embedding(nan, 1)) << "the model is at fault, wherever it is seen";
}

TEST(EmbeddingTextTest, NumbersReadBackAsTheyWere) {
    const Floats values = {0.1f, -1.0f / 3, 1e-38f, 1e-45f, 0, -0.0f, 1};
    std::string text;
    append_float_array(text, values);
    EXPECT_EQ(Json::parse(text).get<Floats>(), values) << text;
}

}  // namespace
}  // namespace bitnetd::frontend
