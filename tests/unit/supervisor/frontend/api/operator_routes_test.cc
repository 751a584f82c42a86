// Goal: an order reaches the supervisor once, from operators only, and is answered truly whatever
//   the supervisor says, when it says it, or when it says nothing; rollouts can be looked up.
// Method: requests through Api with a supervisor that remembers; its answers as messages.
#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

using shm::OrderError;
using shm::RolloutKind;
using shm::RolloutOutcome;
using shm::RolloutPhase;

constexpr uint64_t kRollout = 7;
const Peer kLocal = {"127.0.0.1:40132", true};
const std::vector<std::pair<std::string, std::string>> kJsonType = {
    {"content-type", "application/json"}};

class OperatorRoutes : public ApiTest {
  protected:
    FakeExchange& order(std::string path, const Json& body) {
        return send(Method::kPost, std::move(path), body.dump(), kJsonType, kLocal);
    }
    FakeExchange& swap(bool waits = true) {
        return order("/v1/models/swap", {{"model_path", "/models/new.gguf"}, {"wait", waits}});
    }
    void answer(OrderError error, std::string_view text = "", uint64_t rollout = 0) {
        shm::OrderAnswerMessage message{};
        ASSERT_FALSE(orders_.orders.empty());
        message.request = orders_.orders.back().request;
        message.error = error;
        message.rollout = rollout;
        shm::set_field(message.text, text);
        api_.take_answer(message);
    }
    void accept() { answer(OrderError::kNone, "", kRollout); }

    static shm::RolloutMessage rollout(RolloutOutcome outcome, RolloutPhase phase,
                                       std::string_view reason = "") {
        shm::RolloutMessage message{};
        message.number = kRollout;
        message.kind = RolloutKind::kSwap;
        message.phase = phase;
        message.outcome = outcome;
        message.strategy = shm::SwapStrategy::kRolling;
        message.progress_permille = 250;
        message.started_unix_ms = 1'700'000'000'000;
        if (outcome != RolloutOutcome::kRunning) message.ended_unix_ms = 1'700'000'001'500;
        message.prepare_ms = 400;
        message.verify_ms = 300;
        message.canary_ms = 200;
        message.roll_ms = 100;
        message.has_old = 1;
        shm::set_field(message.model, "tiny");
        shm::set_field(message.reason, reason);
        shm::set_field(message.old_facts.digest, "0ld");
        return message;
    }
    static shm::RolloutMessage completed() {
        shm::RolloutMessage message = rollout(RolloutOutcome::kCompleted, RolloutPhase::kDone);
        message.progress_permille = 1000;
        message.has_new = 1;
        message.accuracy = 0.875f;
        message.new_facts.cross_validation = 0.5f;
        message.speed_ratio = 1.5f;
        message.canary_copies = 20;
        shm::set_field(message.new_facts.digest, "new");
        return message;
    }
    static shm::RolloutMessage load(uint64_t number, RolloutOutcome outcome,
                                    std::string_view reason = "") {
        shm::RolloutMessage message = rollout(outcome, RolloutPhase::kPrepare, reason);
        message.number = number;
        message.kind = RolloutKind::kLoad;
        message.has_old = 0;
        shm::set_field(message.model, "new");
        return message;
    }
};

TEST_F(OperatorRoutes, Methods) {
    add_worker();
    const std::pair<const char*, const char*> allowed[] = {
        {"/v1/models/load", "GET, HEAD, POST, DELETE, OPTIONS"},
        {"/v1/models/swap", "GET, HEAD, POST, DELETE, OPTIONS"},
        {"/v1/models/rollback", "GET, HEAD, POST, DELETE, OPTIONS"},
        {"/v1/models/tiny", "GET, HEAD, DELETE, OPTIONS"},
        {"/v1/rollouts", "GET, HEAD, OPTIONS"},
        {"/v1/rollouts/rollout-1", "GET, HEAD, OPTIONS"}};
    for (const auto& [path, methods] : allowed) {
        FakeExchange& put = ask(Method::kPut, path);
        EXPECT_EQ(put.response->status, 405) << path;
        EXPECT_EQ(put.header("Allow"), methods) << path;
        FakeExchange& options = ask(Method::kOptions, path);
        EXPECT_EQ(options.response->status, 204) << path;
        EXPECT_EQ(options.header("Access-Control-Allow-Methods"), methods) << path;
    }
    EXPECT_EQ(send(Method::kPost, "/v1/models/tiny", "{}", kJsonType, kLocal).response->status,
              405);
}

TEST_F(OperatorRoutes, AModelMayBeCalledLikeAnOrder) {
    EXPECT_EQ(ask(Method::kGet, "/v1/models/load").response->status, 404);
    catalog_.add(make_test_model(make_test_image(), "load", 2));
    EXPECT_EQ(ask(Method::kGet, "/v1/models/load").body()["id"], "load");
    ask(Method::kDelete, "/v1/models/load");
    ASSERT_EQ(orders_.orders.size(), 1u);
    EXPECT_EQ(orders_.orders[0].kind, shm::OrderKind::kRemove);
    EXPECT_EQ(shm::field_text(orders_.orders[0].model), "load");
}

TEST_F(OperatorRoutes, OperatorsOnly) {
    const Json body = {{"model_id", "a"}, {"model_path", "a"}};
    const std::pair<Method, const char*> routes[] = {
        {Method::kPost, "/v1/models/load"},     {Method::kPost, "/v1/models/swap"},
        {Method::kPost, "/v1/models/rollback"}, {Method::kDelete, "/v1/models/tiny"},
        {Method::kGet, "/v1/rollouts"},         {Method::kGet, "/v1/rollouts/rollout-1"}};
    for (const auto& [method, path] : routes) {
        FakeExchange& remote = send(method, path, body.dump(), kJsonType);
        EXPECT_EQ(remote.response->status, 403) << path;
        EXPECT_EQ(remote.body()["error"]["type"], "permission_error");
        EXPECT_EQ(remote.body()["error"]["code"], "role_required");
        auto headers = kJsonType;
        headers.emplace_back("host", "127.0.0.1:8080");
        headers.emplace_back("origin", "http://evil.example");
        FakeExchange& foreign = send(method, path, body.dump(), headers, kLocal);
        EXPECT_EQ(foreign.response->status, 403) << path;
        EXPECT_EQ(foreign.body()["error"]["code"], "origin_not_allowed");
    }
    EXPECT_TRUE(orders_.orders.empty());
}

TEST_F(OperatorRoutes, OrdersSayThatTheyAreJson) {
    const std::string body = R"({"model_path":"a"})";
    for (const char* type : {"", "text/plain"}) {
        FakeExchange& exchange =
            send(Method::kPost, "/v1/models/swap", body, {{"content-type", type}}, kLocal);
        EXPECT_EQ(exchange.response->status, 415) << type;
    }
    EXPECT_EQ(send(Method::kPost, "/v1/models/swap", body, {}, kLocal).response->status, 415);
    EXPECT_TRUE(orders_.orders.empty());
    EXPECT_FALSE(ask(Method::kDelete, "/v1/models/tiny").answered()) << "has no body";
    EXPECT_EQ(orders_.orders.size(), 1u);
}

TEST_F(OperatorRoutes, BadOrdersGoNowhere) {
    EXPECT_EQ(order("/v1/models/load", {{"model_id", "a"}}).body()["error"]["param"], "model_path");
    EXPECT_EQ(order("/v1/models/swap", {{"model_path", 1}}).body()["error"]["param"], "model_path");
    FakeExchange& large = order("/v1/models/swap", {{"x", std::string(20'000, 'a')}});
    EXPECT_EQ(large.response->status, 413);
    EXPECT_EQ(ask(Method::kDelete, "/v1/models/%zz").response->status, 404);
    EXPECT_TRUE(orders_.orders.empty());
}

TEST_F(OperatorRoutes, ACompletedSwap) {
    FakeExchange& exchange = swap();
    ASSERT_EQ(orders_.orders.size(), 1u);
    EXPECT_EQ(shm::field_text(orders_.orders[0].path), "/models/new.gguf");
    EXPECT_FALSE(exchange.answered());
    accept();
    api_.take_rollout(rollout(RolloutOutcome::kRunning, RolloutPhase::kVerify));
    EXPECT_FALSE(exchange.answered());
    api_.take_rollout(completed());
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 200);
    const Json body = exchange.body();
    EXPECT_EQ(body["swap_id"], "rollout-7");
    EXPECT_EQ(body["status"], "completed");
    EXPECT_EQ(body["total_duration_ms"], 1500);
    EXPECT_EQ(body["swap_phases"], (Json{{"validation_duration_ms", 300},
                                         {"prepare_duration_ms", 400},
                                         {"canary_duration_ms", 200},
                                         {"swap_duration_ms", 100}}));
    EXPECT_EQ(body["previous_model_metadata"]["digest"], "0ld");
    EXPECT_EQ(body["new_model_metadata"]["digest"], "new");
    const Json validation = body["validation_results"];
    EXPECT_EQ(validation["gguf_validation"]["status"], "passed");
    EXPECT_EQ(validation["quantization_validation"]["status"], "passed");
    EXPECT_EQ(validation["quantization_validation"]["accuracy"], 0.875);
    EXPECT_EQ(validation["quantization_validation"]["cross_validation_score"], 0.5);
    EXPECT_EQ(validation["performance_validation"]["status"], "passed");
    EXPECT_EQ(validation["performance_validation"]["speed_ratio"], 1.5);
    EXPECT_EQ(body["rollback_info"], (Json{{"rollback_performed", false},
                                           {"rollback_reason", nullptr},
                                           {"rollback_duration_ms", 0}}));
    EXPECT_FALSE(body.contains("error"));
    api_.take_rollout(completed());  // answered once; the fake would notice
}

TEST_F(OperatorRoutes, ARolloutThatEndsBeforeTheAnswerComes) {
    FakeExchange& exchange = swap();
    api_.take_rollout(completed());
    EXPECT_FALSE(exchange.answered()) << "whose rollout it is was not said yet";
    accept();
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 200);
}

TEST_F(OperatorRoutes, AFileThatIsRefused) {
    FakeExchange& exchange =
        order("/v1/models/swap",
              {{"model_path", "a.gguf"}, {"validation_config", {{"min_accuracy", 0.75}}}});
    accept();
    api_.take_rollout(rollout(RolloutOutcome::kFailed, RolloutPhase::kPrepare,
                              "a.gguf: expected magic GGUF, found ELF"));
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 422);
    const Json body = exchange.body();
    EXPECT_EQ(body["status"], "failed");
    EXPECT_EQ(body["validation_results"]["gguf_validation"]["status"], "failed");
    EXPECT_EQ(body["validation_results"]["quantization_validation"]["status"], "not_run");
    EXPECT_EQ(body["validation_results"]["performance_validation"]["status"], "not_run");
    EXPECT_EQ(body["new_model_metadata"], nullptr);
    const Json error = body["error"];
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_EQ(error["code"], "model_invalid");
    EXPECT_EQ(error["param"], "model_path");
    EXPECT_EQ(error["message"], "a.gguf: expected magic GGUF, found ELF");
    EXPECT_EQ(error["request_id"], "req-1");
    EXPECT_EQ(error["details"]["expected"]["accuracy_min"], 0.75);
    EXPECT_EQ(error["details"]["found"]["accuracy"], nullptr);
    EXPECT_EQ(exchange.header("x-should-retry"), "false");
}

TEST_F(OperatorRoutes, ARollback) {
    FakeExchange& exchange = swap();
    accept();
    shm::RolloutMessage ended =
        rollout(RolloutOutcome::kRolledBack, RolloutPhase::kCanaryCopies, "3 of 20 copies differ");
    ended.has_new = 1;
    ended.canary_copies = 20;
    ended.canary_different = 3;
    ended.rollback_ms = 50;
    api_.take_rollout(ended);
    EXPECT_EQ(exchange.response->status, 409);
    const Json body = exchange.body();
    EXPECT_EQ(body["error"]["code"], "rollout_rolled_back");
    EXPECT_EQ(body["status"], "rolled_back");
    EXPECT_EQ(body["validation_results"]["performance_validation"]["status"], "failed");
    EXPECT_EQ(body["validation_results"]["performance_validation"]["copies_different"], 3);
    EXPECT_EQ(body["rollback_info"], (Json{{"rollback_performed", true},
                                           {"rollback_reason", "3 of 20 copies differ"},
                                           {"rollback_duration_ms", 50}}));
    EXPECT_EQ(exchange.header("x-should-retry"), "false");
}

TEST_F(OperatorRoutes, OtherFailures) {
    FakeExchange& exchange = swap();
    accept();
    shm::RolloutMessage ended =
        rollout(RolloutOutcome::kFailed, RolloutPhase::kRoll, "no worker started");
    ended.has_new = 1;
    ended.accuracy = 0.5f;
    ended.canary_copies = 20;
    api_.take_rollout(ended);
    EXPECT_EQ(exchange.response->status, 500);
    const Json validation = exchange.body()["validation_results"];
    for (const char* check :
         {"gguf_validation", "quantization_validation", "performance_validation"}) {
        EXPECT_EQ(validation[check]["status"], "passed") << check;
    }
    EXPECT_EQ(exchange.body()["error"]["code"], "rollout_failed");
    EXPECT_EQ(exchange.body()["error"]["message"], "no worker started");
}

TEST_F(OperatorRoutes, NotWaiting) {
    FakeExchange& exchange = swap(/*waits=*/false);
    EXPECT_FALSE(exchange.answered());
    accept();
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 202);
    EXPECT_EQ(exchange.header("Location"), "/v1/rollouts/rollout-7");
    EXPECT_EQ(exchange.body()["rollout_id"], "rollout-7");
    EXPECT_EQ(exchange.body()["status"], "running");
    const Json known = ask(Method::kGet, "/v1/rollouts/rollout-7").body();
    EXPECT_EQ(known["kind"], "swap") << "before the supervisor said more of it";
    EXPECT_EQ(known["model_id"], "tiny");
    EXPECT_EQ(known["swap_strategy"], nullptr);
    api_.take_rollout(completed());
    EXPECT_EQ(ask(Method::kGet, "/v1/rollouts/rollout-7").body()["status"], "completed");
}

TEST_F(OperatorRoutes, Refusals) {
    struct Case {
        OrderError error;
        int status;
        const char* type;
        const char* code;
        const char* retry;
    };
    const Case cases[] = {
        {OrderError::kRolloutInProgress, 409, "conflict_error", "rollout_in_progress", "false"},
        {OrderError::kModelNotFound, 404, "not_found_error", "model_not_found", ""},
        {OrderError::kPathNotAllowed, 403, "permission_error", "path_not_allowed", "false"},
        {OrderError::kInvalid, 400, "invalid_request_error", "invalid_value", "false"},
        {OrderError::kNothingToRollBack, 409, "conflict_error", "nothing_to_roll_back", "false"},
        {OrderError::kNotNow, 503, "overloaded_error", "draining", ""}};
    for (const Case& each : cases) {
        for (const char* said : {"", "the supervisor's words"}) {
            FakeExchange& exchange = swap();
            answer(each.error, said);
            ASSERT_TRUE(exchange.answered()) << each.code;
            EXPECT_EQ(exchange.response->status, each.status);
            const Json error = exchange.body()["error"];
            EXPECT_EQ(error["type"], each.type);
            EXPECT_EQ(error["code"], each.code);
            EXPECT_NE(error["message"], "");
            EXPECT_EQ(exchange.header("x-should-retry"), each.retry) << each.code;
            if (*said != '\0' && each.error != OrderError::kModelNotFound) {
                EXPECT_EQ(error["message"], said);
            }
        }
    }
}

TEST_F(OperatorRoutes, ASilentSupervisor) {
    FakeExchange& exchange = swap();
    const uint64_t now_ns = monotonic_ns();
    api_.observe(now_ns);
    EXPECT_FALSE(exchange.answered());
    api_.observe(now_ns + OrderDesk::kAnswerTimeoutNs);
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 503);
    EXPECT_EQ(exchange.body()["error"]["code"], "supervisor_unavailable");
    EXPECT_EQ(exchange.header("x-should-retry"), "false") << "it may have been taken";
    accept();  // too late: nobody is there to be answered
    orders_.is_gone = true;
    EXPECT_EQ(swap().response->status, 503);
}

TEST_F(OperatorRoutes, ARolloutThatLastsTooLongToWaitFor) {
    FakeExchange& exchange = swap();
    accept();
    const uint64_t now_ns = monotonic_ns();
    api_.observe(now_ns + OrderDesk::kAnswerTimeoutNs);
    EXPECT_FALSE(exchange.answered()) << "the supervisor has answered";
    api_.observe(now_ns + OrderDesk::kWaitMaxNs);
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 202);
}

TEST_F(OperatorRoutes, DrainingSendsWaitingClientsToLookElsewhere) {
    FakeExchange& exchange = swap();
    accept();
    api_.take_rollout(rollout(RolloutOutcome::kRunning, RolloutPhase::kRoll));
    admission_.begin_drain(monotonic_ns());
    api_.observe(monotonic_ns());
    ASSERT_TRUE(exchange.answered());
    EXPECT_EQ(exchange.response->status, 202);
    EXPECT_EQ(exchange.body()["phase"], "roll");
}

TEST_F(OperatorRoutes, AClientThatLeaves) {
    FakeExchange& early = swap();
    std::exchange(early.on_gone, {})();
    accept();
    FakeExchange& late = swap();
    answer(OrderError::kNone, "", kRollout);
    std::exchange(late.on_gone, {})();
    api_.take_rollout(completed());
    EXPECT_FALSE(early.answered() || late.answered());
    EXPECT_EQ(ask(Method::kGet, "/v1/rollouts/rollout-7").body()["status"], "completed");
}

TEST_F(OperatorRoutes, OpenOrdersAreBounded) {
    for (size_t i = 0; i < OrderDesk::kOrdersMax; ++i) {
        FakeExchange& exchange = swap();
        EXPECT_FALSE(exchange.answered());
        if (i % 2 == 0) std::exchange(exchange.on_gone, {})();  // leaving makes no room
    }
    FakeExchange& refused = swap();
    EXPECT_EQ(refused.response->status, 503);
    EXPECT_EQ(refused.body()["error"]["code"], "queue_full");
    answer(OrderError::kRolloutInProgress);
    EXPECT_FALSE(swap().answered()) << "one was answered";
}

TEST_F(OperatorRoutes, Rollouts) {
    EXPECT_EQ(ask(Method::kGet, "/v1/rollouts").body()["total_count"], 0);
    for (const char* name : {"rollout-7", "rollout-x", "7"}) {
        FakeExchange& unknown = ask(Method::kGet, std::string("/v1/rollouts/") + name);
        EXPECT_EQ(unknown.response->status, 404) << name;
        EXPECT_EQ(unknown.body()["error"]["code"], "rollout_not_found");
    }
    api_.take_rollout(rollout(RolloutOutcome::kRunning, RolloutPhase::kCanaryShare));
    const Json running = ask(Method::kGet, "/v1/rollouts/rollout-7").body();
    EXPECT_EQ(running["object"], "rollout");
    EXPECT_EQ(running["phase"], "canary_share");
    EXPECT_EQ(running["progress"], 0.25);
    EXPECT_EQ(running["status"], "running");
    EXPECT_EQ(running["reason"], nullptr);
    EXPECT_EQ(running["started_at"], "2023-11-14T22:13:20Z");
    EXPECT_EQ(running["ended_at"], nullptr);
    EXPECT_EQ(running["swap_strategy"], "rolling");
    EXPECT_EQ(running["validation_results"]["performance_validation"]["status"], "pending");
    EXPECT_GT(running["total_duration_ms"], 1'000'000);

    shm::RolloutMessage other = completed();
    other.number = 8;
    api_.take_rollout(other);
    Json list = ask(Method::kGet, "/v1/rollouts").body();
    EXPECT_EQ(list["total_count"], 2);
    EXPECT_EQ(list["data"][0]["rollout_id"], "rollout-8") << "newest first";
    list["data"][1]["total_duration_ms"] = running["total_duration_ms"];  // it goes on
    EXPECT_EQ(list["data"][1], running);
    EXPECT_EQ(ask(Method::kHead, "/v1/rollouts").response->status, 200);
}

TEST_F(OperatorRoutes, ModelsComeAndGo) {
    add_worker();
    catalog_.add(make_test_model(make_test_image(), "tiny", 2), shm::ModelStanding::kCanary);
    catalog_.add(make_test_model(make_test_image(), "old", 3), shm::ModelStanding::kRetiring);
    api_.take_rollout(load(1, RolloutOutcome::kFailed, "/models/new.gguf: too short"));
    const Json failed = ask(Method::kGet, "/v1/models/new").body();
    EXPECT_EQ(failed["id"], "new");
    EXPECT_EQ(failed["object"], "model");
    EXPECT_EQ(failed["created"], 1'700'000'000);
    EXPECT_EQ(failed["status"], "failed");
    EXPECT_EQ(failed["reason"], "/models/new.gguf: too short");

    const Json list = ask(Method::kGet, "/v1/models").body();
    EXPECT_EQ(list["total_count"], 4);
    EXPECT_EQ(list["active_count"], 1);
    std::multimap<std::string, std::string> statuses;
    for (const Json& model : list["data"])
        statuses.emplace(model["status"], model["id"]);
    EXPECT_EQ(
        statuses,
        (std::multimap<std::string, std::string>{
            {"active", "tiny"}, {"draining", "old"}, {"failed", "new"}, {"loading", "tiny"}}));
    for (const char* status : {"active", "loading", "draining", "failed"}) {
        const Json some = ask(Method::kGet, std::string("/v1/models?status=") + status).body();
        EXPECT_EQ(some["total_count"], 1) << status;
        EXPECT_EQ(some["data"][0]["status"], status);
    }
    EXPECT_EQ(ask(Method::kGet, "/v1/models/tiny").body()["status"], "active");
    EXPECT_EQ(ask(Method::kGet, "/v1/models/old").body()["status"], "draining");
    EXPECT_EQ(ask(Method::kGet, "/v1/models?quantization_format=I2_S").body()["total_count"], 3);

    api_.take_rollout(load(2, RolloutOutcome::kRunning));
    EXPECT_EQ(ask(Method::kGet, "/v1/models/new").body()["status"], "loading");
    EXPECT_EQ(ask(Method::kGet, "/v1/models").body()["total_count"], 4) << "the newest load counts";
    api_.take_rollout(load(2, RolloutOutcome::kCompleted));
    EXPECT_EQ(ask(Method::kGet, "/v1/models/new").response->status, 404);
    api_.take_rollout(load(3, RolloutOutcome::kFailed));
    catalog_.add(make_test_model(make_test_image(), "new", 4));
    EXPECT_EQ(ask(Method::kGet, "/v1/models/new").body()["status"], "loading")
        << "it is there, without a worker";
}

TEST_F(OperatorRoutes, PathsAndReasonsAreForOperators) {
    api_.take_rollout(load(1, RolloutOutcome::kFailed, "/secret/place/new.gguf: too short"));
    for (const char* path : {"/v1/models", "/v1/models/tiny", "/v1/models/new"}) {
        FakeExchange& local = ask(Method::kGet, path);
        EXPECT_NE(local.response->body.find("/secret/place/"), std::string::npos) << path;
        FakeExchange& remote = send(Method::kGet, path);
        EXPECT_EQ(remote.response->status, 200);
        EXPECT_EQ(remote.response->body.find("/secret/place/"), std::string::npos) << path;
    }
}

}  // namespace
}  // namespace bitnetd::frontend
