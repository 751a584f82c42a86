// Goal: every route answers its methods and no others, and the documents around generation (models,
//   health, metrics, errors) say what is true.
// Method: requests through Api; JSON compared by value.
#include <set>

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

class RoutesTest : public ApiTest {};

TEST_F(RoutesTest, MethodsOfEveryRoute) {
    const char* gets[] = {"/health",         "/health/live", "/livez",      "/health/ready",
                          "/readyz",         "/ready",       "/metrics",    "/v1/models",
                          "/v1/models/tiny", "/v1/stats",    "/v1/devices", "/v1/metrics"};
    add_worker();
    for (const char* path : gets) {
        EXPECT_EQ(ask(Method::kGet, path).response->status, 200) << path;
        EXPECT_EQ(ask(Method::kHead, path).response->status, 200) << path;
        FakeExchange& post = send(Method::kPost, path, "{}");
        EXPECT_EQ(post.response->status, 405) << path;
        const bool is_a_model = std::string_view(path) == "/v1/models/tiny";
        EXPECT_EQ(post.header("Allow"),
                  is_a_model ? "GET, HEAD, DELETE, OPTIONS" : "GET, HEAD, OPTIONS");
        EXPECT_EQ(send(Method::kPut, path).response->status, 405) << path;
    }
    for (const char* path :
         {"/v1/chat/completions", "/v1/completions", "/v1/inference", "/v1/inference/stream"}) {
        FakeExchange& get = send(Method::kGet, path);
        EXPECT_EQ(get.response->status, 405);
        EXPECT_EQ(get.header("Allow"), "POST, OPTIONS");
        EXPECT_EQ(get.body()["error"]["code"], "method_not_allowed");
        FakeExchange& options = send(Method::kOptions, path);
        EXPECT_EQ(options.response->status, 204);
        EXPECT_EQ(options.header("Access-Control-Allow-Methods"), "POST, OPTIONS");
    }
    for (const char* path :
         {"/", "/v1", "/v1/models/", "/healthz", "/v1/completions/x", "//health"}) {
        FakeExchange& unknown = send(Method::kGet, path);
        EXPECT_EQ(unknown.response->status, 404) << path;
        EXPECT_EQ(unknown.body()["error"]["code"], "route_not_found");
    }
}

TEST_F(RoutesTest, FiguresOfTheServerAreForOperators) {
    for (const char* path : {"/metrics", "/v1/stats", "/v1/devices", "/v1/metrics"}) {
        for (const Method method : {Method::kGet, Method::kHead}) {
            FakeExchange& other = send(method, path);
            EXPECT_EQ(other.response->status, 403) << path;
            EXPECT_EQ(other.body()["error"]["code"], "role_required");
        }
        EXPECT_EQ(send(Method::kOptions, path).response->status, 204);
    }
}

// Who comes first, by socket activation even before the model is loaded, is told to come again.
TEST_F(RoutesTest, UnknownModelIsToComeWhileModelsAreLoaded) {
    shm::HealthMessage loading{};
    loading.models_loading = 1;
    health_.set_supervisor(loading);
    for (const char* path :
         {"/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize"}) {
        FakeExchange& early = send(Method::kPost, path, R"({"model":"later"})");
        EXPECT_EQ(early.response->status, 503) << path;
        EXPECT_EQ(early.body()["error"]["code"], "model_loading") << path;
        EXPECT_EQ(early.header("Retry-After"), "1") << path;
    }
    health_.set_supervisor({});
    EXPECT_EQ(send(Method::kPost, "/v1/completions", R"({"model":"later"})").response->status, 404);
}

TEST_F(RoutesTest, ContentTypes) {
    add_worker();
    const std::string body = R"({"prompt":"a"})";
    for (const char* type : {"", "application/json", "Application/JSON; charset=utf-8"}) {
        EXPECT_FALSE(
            send(Method::kPost, "/v1/completions", body, {{"content-type", type}}).answered())
            << type;
    }
    for (const char* type :
         {"text/plain", "application/jsonx", "application/x-www-form-urlencoded"}) {
        FakeExchange& exchange =
            send(Method::kPost, "/v1/completions", body, {{"content-type", type}});
        ASSERT_TRUE(exchange.response) << type;
        EXPECT_EQ(exchange.response->status, 415) << type;
    }
}

TEST_F(RoutesTest, ErrorBodiesHaveEveryKey) {
    FakeExchange& exchange = send(Method::kPost, "/v1/completions", "nonsense");
    const Json error = exchange.body()["error"];
    EXPECT_EQ(exchange.body().size(), 1u);
    std::set<std::string> keys;
    for (const auto& [key, value] : error.items())
        keys.insert(key);
    EXPECT_EQ(keys, (std::set<std::string>{"message", "type", "param", "code", "suggestion",
                                           "request_id"}));
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_EQ(error["code"], "invalid_json");
    EXPECT_EQ(error["param"], nullptr);
    EXPECT_EQ(error["request_id"], "req-1");

    const Json from_http = Json::parse(api_.error_body(431, "headers_too_large", "too large", "r"));
    EXPECT_EQ(from_http["error"]["type"], "invalid_request_error");
    EXPECT_EQ(from_http["error"]["suggestion"], nullptr);
    EXPECT_EQ(error_type(404), "not_found_error");
    EXPECT_EQ(error_type(500), "server_error");
    EXPECT_EQ(error_type(503), "overloaded_error");
}

TEST_F(RoutesTest, LargeBodiesArePreparedElsewhere) {
    add_worker();
    tasks_.at_once = false;
    const std::string blanks(20'000, ' ');
    FakeExchange& exchange = send(Method::kPost, "/v1/completions", blanks + R"({"prompt":"a"})");
    EXPECT_TRUE(worker_->submissions.empty());
    tasks_.run_all();
    EXPECT_EQ(worker_->submissions.size(), 1u);
    EXPECT_FALSE(exchange.answered());
}

TEST_F(RoutesTest, Models) {
    catalog_.add(make_test_model(make_test_image(), "org/other", 2));
    add_worker();
    const Json list = send(Method::kGet, "/v1/models").body();
    EXPECT_EQ(list["object"], "list");
    EXPECT_EQ(list["total_count"], 2);
    EXPECT_EQ(list["active_count"], 1);
    const Json tiny = list["data"][0];
    EXPECT_EQ(tiny["id"], "tiny");
    EXPECT_EQ(tiny["object"], "model");
    EXPECT_EQ(tiny["created"], 1'700'000'000);
    EXPECT_EQ(tiny["loaded_at"], "2023-11-14T22:13:20Z");
    EXPECT_EQ(tiny["status"], "active");
    EXPECT_EQ(tiny["context_length"], kTestContext);
    EXPECT_EQ(tiny["devices"], Json::array({"cpu:0"}));
    EXPECT_EQ(tiny["quantization_format"], "I2_S");
    EXPECT_EQ(tiny["performance_metrics"]["decode_tokens_per_second"], nullptr);
    EXPECT_EQ(list.dump().find("secret"), std::string::npos) << "paths are for operators";
    EXPECT_EQ(list["data"][1]["status"], "loading");

    EXPECT_EQ(send(Method::kGet, "/v1/models/tiny").body(), tiny);
    EXPECT_EQ(send(Method::kGet, "/v1/models/org/other").body()["id"], "org/other");
    EXPECT_EQ(send(Method::kGet, "/v1/models/org%2Fother").body()["id"], "org/other");
    EXPECT_EQ(send(Method::kGet, "/v1/models/nope").response->status, 404);
    EXPECT_EQ(send(Method::kGet, "/v1/models/%zz").response->status, 404);
    const std::pair<const char*, int> filters[] = {
        {"status=active", 1}, {"status=loading", 1}, {"status=failed", 0},
        {"device=cpu:0", 1},  {"device=cuda:0", 0},  {"quantization_format=I2_S", 2},
        {"other=1", 2}};
    for (const auto& [query, count] : filters) {
        const Json filtered = send(Method::kGet, std::string("/v1/models?") + query).body();
        EXPECT_EQ(filtered["total_count"], count) << query;
    }
}

TEST_F(RoutesTest, AModelAnswersToItsAliases) {
    ModelOptions options;
    options.aliases = {{"fast", "tiny"}, {"team/fast", "tiny"}, {"else", "org/other"}};
    catalog_.add(make_test_model(make_test_image(), "tiny", kTestModelKey, options));
    add_worker();
    const Json list = send(Method::kGet, "/v1/models").body();
    EXPECT_EQ(list["data"][0]["aliases"], Json::array({"fast", "team/fast"}));
    EXPECT_EQ(send(Method::kGet, "/v1/models/team%2Ffast").body()["id"], "tiny");
    EXPECT_EQ(send(Method::kGet, "/v1/models/else").response->status, 404);
    FakeExchange& exchange = complete({{"prompt", "a"}, {"model", "fast"}, {"max_tokens", 1}});
    produce_text(0, "x", shm::Finish::kLength);
    EXPECT_EQ(exchange.body()["model"], "tiny");
    EXPECT_EQ(complete({{"prompt", "a"}, {"model", "else"}}).response->status, 404);
}

TEST_F(RoutesTest, HealthFollowsWorkersAndTheSupervisor) {
    FakeExchange& none = send(Method::kGet, "/health");
    EXPECT_EQ(none.response->status, 503);
    EXPECT_EQ(none.body()["status"], "unhealthy");
    EXPECT_EQ(send(Method::kGet, "/ready").response->status, 503);
    EXPECT_EQ(send(Method::kGet, "/livez").response->status, 200);

    add_worker();
    shm::HealthMessage message{};
    message.workers_expected = 1;
    health_.set_supervisor(message);
    FakeExchange& whole = send(Method::kGet, "/health");
    EXPECT_EQ(whole.response->status, 200);
    EXPECT_EQ(whole.body()["status"], "healthy");
    EXPECT_EQ(whole.body()["model"], "tiny");
    EXPECT_EQ(whole.body()["components"]["workers"]["ready"], 1);

    message.workers_expected = 2;
    message.workers_restarting = 1;
    shm::set_field(message.reason, "worker 1 is restarting");
    health_.set_supervisor(message);
    FakeExchange& degraded = send(Method::kGet, "/health");
    EXPECT_EQ(degraded.response->status, 200);
    EXPECT_EQ(degraded.body()["status"], "degraded");
    EXPECT_EQ(degraded.body()["reason"], "worker 1 is restarting");
    EXPECT_EQ(send(Method::kGet, "/ready").response->status, 200);

    admission_.begin_drain(monotonic_ns());
    health_.set_supervisor(message);
    EXPECT_EQ(send(Method::kGet, "/ready").response->status, 503);
    EXPECT_EQ(send(Method::kGet, "/livez").response->status, 200);
}

TEST_F(RoutesTest, MetricsOfAllBoards) {
    add_worker();
    board_.writer().count(Counter::kGenerationsAdmitted, 3);
    board_.writer().record_ns(Histogram::kQueueSeconds, 150'000);
    board_.writer().record_ns(Histogram::kQueueSeconds, 50'000);
    auto view = shm::BoardView::open(board_.view());
    ASSERT_TRUE(view.ok());
    boards_.add(std::move(view).value());
    FakeExchange& exchange = ask(Method::kGet, "/metrics");
    EXPECT_EQ(exchange.response->content_type, "text/plain; version=0.0.4; charset=utf-8");
    const std::string text = exchange.response->body;
    for (const char* line :
         {"# HELP bitnet_generations_admitted_total Generations taken in.\n",
          "# TYPE bitnet_generations_admitted_total counter\n",
          "bitnet_generations_admitted_total{process=\"frontend\",slot=\"0\"} 3\n",
          "bitnet_queue_seconds_bucket{process=\"frontend\",slot=\"0\",le=\"0.0001\"} 1\n",
          "bitnet_queue_seconds_bucket{process=\"frontend\",slot=\"0\",le=\"0.0002\"} 2\n",
          "bitnet_queue_seconds_bucket{process=\"frontend\",slot=\"0\",le=\"+Inf\"} 2\n",
          "bitnet_queue_seconds_count{process=\"frontend\",slot=\"0\"} 2\n",
          "bitnet_model_ready_workers{model=\"tiny\"} 1\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line;
    }
    EXPECT_EQ(text.find("bitnet_worker_starts_total{process=\"frontend\""), std::string::npos);
}

}  // namespace
}  // namespace bitnetd::frontend
