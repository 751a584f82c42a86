// Goal: what an operator asks reaches the supervisor as it was meant, and what is out of bounds is
//   refused by name.
// Method: bodies to read_order() and queries to read_removal(), against a model "tiny" with the
//   alias "fast".
#include "supervisor/frontend/api/order_request.h"

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

using shm::OrderKind;
using shm::SwapStrategy;

const ModelList& models() {
    static const ModelList list = [] {
        ModelOptions options;
        options.aliases = {{"fast", "tiny"}};
        ListedModel tiny(make_test_model(make_test_image(), "tiny", kTestModelKey, options));
        return ModelList{std::move(tiny)};
    }();
    return list;
}

OrderResult read(OrderKind kind, const Json& body, bool is_strict = false) {
    return read_order(kind, body.dump(), models(), is_strict);
}

Order taken(const OrderResult& result) {
    const auto* error = std::get_if<ApiError>(&result);
    EXPECT_EQ(error, nullptr) << error->message;
    return error == nullptr ? std::get<Order>(result) : Order{};
}

// "status code param", or "" when it was taken.
std::string refused(const OrderResult& result) {
    const auto* error = std::get_if<ApiError>(&result);
    if (error == nullptr) return "";
    EXPECT_FALSE(error->message.empty());
    return std::to_string(error->status) + " " + std::string(error->code) + " " + error->param;
}

TEST(OrderRequest, EveryField) {
    const Order order =
        taken(read(OrderKind::kSwap,
                   {{"model_id", "fast"},
                    {"model_path", "/models/new.gguf"},
                    {"validation_config",
                     {{"min_accuracy", 0.5}, {"validation_samples", 100}, {"timeout_seconds", 90}}},
                    {"swap_strategy", "blue_green"},
                    {"rollback_on_failure", false},
                    {"health_check_config",
                     {{"inference_test_prompts", {"one", "two"}}, {"accuracy_threshold", 0.75}}},
                    {"wait", false}},
                   /*is_strict=*/true));
    EXPECT_FALSE(order.waits);
    const shm::OrderMessage& message = order.message;
    EXPECT_EQ(message.kind, OrderKind::kSwap);
    EXPECT_EQ(shm::field_text(message.model), "tiny") << "the alias is resolved";
    EXPECT_EQ(shm::field_text(message.path), "/models/new.gguf");
    EXPECT_EQ(message.strategy, SwapStrategy::kBlueGreen);
    EXPECT_EQ(message.rollback_on_failure, 0u);
    EXPECT_EQ(message.timeout_s, 90u);
    EXPECT_EQ(message.accuracy_min, 0.75f) << "the stricter of both";
    ASSERT_EQ(message.test_prompts, 2u);
    EXPECT_EQ(shm::field_text(message.prompts[0]), "one");
    EXPECT_EQ(shm::field_text(message.prompts[1]), "two");
}

TEST(OrderRequest, WhatIsNotSaid) {
    const Order load =
        taken(read(OrderKind::kLoad, {{"model_id", "new"}, {"model_path", "a.gguf"}}));
    EXPECT_TRUE(load.waits);
    EXPECT_EQ(load.message.rollback_on_failure, 1u);
    EXPECT_EQ(static_cast<int>(load.message.strategy), 0) << "the setting decides";
    EXPECT_EQ(load.message.timeout_s, 0u);
    EXPECT_EQ(load.message.accuracy_min, 0.0f);
    EXPECT_EQ(load.message.test_prompts, 0u);

    const Order swap = taken(read(OrderKind::kSwap, {{"model_path", "a.gguf"}}));
    EXPECT_EQ(shm::field_text(swap.message.model), "tiny") << "the default model";
    const Order back = taken(read(OrderKind::kRollback, Json::object()));
    EXPECT_EQ(shm::field_text(back.message.model), "tiny");
    const Order other = taken(read(OrderKind::kRollback, {{"model_id", "being loaded"}}));
    EXPECT_EQ(shm::field_text(other.message.model), "being loaded");

    for (const auto& [name, strategy] : std::map<std::string, SwapStrategy>{
             {"rolling", SwapStrategy::kRolling}, {"blue_green", SwapStrategy::kBlueGreen}}) {
        const Json body = {{"model_path", "a"}, {"swap_strategy", name}, {"unknown", 1}};
        EXPECT_EQ(taken(read(OrderKind::kSwap, body)).message.strategy, strategy);
    }
}

TEST(OrderRequest, MissingFields) {
    EXPECT_EQ(refused(read(OrderKind::kLoad, {{"model_path", "a"}})), "400 missing_field model_id");
    EXPECT_EQ(refused(read(OrderKind::kLoad, {{"model_id", "a"}})), "400 missing_field model_path");
    EXPECT_EQ(refused(read(OrderKind::kSwap, {{"model_path", nullptr}})),
              "400 missing_field model_path");
    EXPECT_EQ(refused(read_order(OrderKind::kSwap, R"({"model_path":"a"})", {}, false)),
              "400 missing_field model_id")
        << "without a default model";
    EXPECT_EQ(refused(read_order(OrderKind::kSwap, "", models(), false)), "400 invalid_json ");
    EXPECT_EQ(refused(read_order(OrderKind::kSwap, "[]", models(), false)), "400 invalid_json ");
}

TEST(OrderRequest, EveryFieldIsChecked) {
    const std::string nul("a\0b", 3);
    const std::pair<const char*, Json> wrong[] = {{"model_id", 1},
                                                  {"model_id", ""},
                                                  {"model_id", nul},
                                                  {"model_id", std::string(128, 'a')},
                                                  {"model_path", 1},
                                                  {"model_path", ""},
                                                  {"model_path", nul},
                                                  {"model_path", std::string(512, 'a')},
                                                  {"validation_config", 1},
                                                  {"validation_config", Json::array()},
                                                  {"swap_strategy", "canary"},
                                                  {"swap_strategy", 1},
                                                  {"rollback_on_failure", "yes"},
                                                  {"health_check_config", "x"},
                                                  {"wait", 1}};
    for (const auto& [name, value] : wrong) {
        Json body = {{"model_id", "new"}, {"model_path", "a"}};
        body[name] = value;
        EXPECT_EQ(refused(read(OrderKind::kSwap, body)), std::string("400 invalid_value ") + name)
            << value;
    }
    for (const char* id : {".hidden", "/a", "a b", "a\n", "ä"}) {
        EXPECT_EQ(refused(read(OrderKind::kLoad, {{"model_id", id}, {"model_path", "a"}})),
                  "400 invalid_value model_id");
    }
}

TEST(OrderRequest, EveryInnerFieldIsChecked) {
    struct Case {
        const char* object;
        const char* field;
        Json value;
    };
    const Case cases[] = {
        {"validation_config", "min_accuracy", "0.9"},
        {"validation_config", "min_accuracy", 1.5},
        {"validation_config", "min_accuracy", -0.5},
        {"validation_config", "validation_samples", 0},
        {"validation_config", "validation_samples", 1.5},
        {"validation_config", "timeout_seconds", 0},
        {"validation_config", "timeout_seconds", 86401},
        {"validation_config", "timeout_seconds", "1"},
        {"health_check_config", "accuracy_threshold", 2},
        {"health_check_config", "inference_test_prompts", "one"},
        {"health_check_config", "inference_test_prompts", {1}},
        {"health_check_config", "inference_test_prompts", {""}},
        {"health_check_config", "inference_test_prompts", {std::string("a\0", 2)}},
        {"health_check_config", "inference_test_prompts", {std::string(256, 'a')}},
        {"health_check_config", "inference_test_prompts", {"1", "2", "3", "4", "5", "6"}}};
    for (const Case& each : cases) {
        const Json body = {{"model_path", "a"}, {each.object, {{each.field, each.value}}}};
        EXPECT_EQ(refused(read(OrderKind::kSwap, body)),
                  std::string("400 invalid_value ") + each.object + "." + each.field)
            << each.value;
    }
    const Json most = {{"model_path", std::string(511, 'a')},
                       {"health_check_config",
                        {{"inference_test_prompts", {"1", "2", "3", "4", std::string(255, 'a')}}}}};
    const Order order = taken(read(OrderKind::kSwap, most));
    EXPECT_EQ(order.message.test_prompts, 5u);
    EXPECT_EQ(shm::field_text(order.message.prompts[4]).size(), 255u);
    EXPECT_EQ(shm::field_text(order.message.path).size(), 511u);
}

TEST(OrderRequest, StrictRefusesUnknownFields) {
    const std::pair<Json, const char*> unknown[] = {
        {{{"x", 1}}, "x"},
        {{{"validation_config", {{"x", 1}}}}, "validation_config.x"},
        {{{"health_check_config", {{"x", 1}}}}, "health_check_config.x"}};
    for (const auto& [body, name] : unknown) {
        EXPECT_EQ(refused(read(OrderKind::kRollback, body)), "");
        EXPECT_EQ(refused(read(OrderKind::kRollback, body, true)),
                  std::string("400 unsupported_parameter ") + name);
    }
    EXPECT_EQ(refused(read(OrderKind::kRollback, {{"model_path", "a"}})),
              "400 unsupported_parameter model_path");
}

TEST(OrderRequest, Removal) {
    const Order order = taken(read_removal("fast", "", models()));
    EXPECT_EQ(order.message.kind, OrderKind::kRemove);
    EXPECT_EQ(shm::field_text(order.message.model), "tiny");
    EXPECT_TRUE(order.waits);
    EXPECT_FALSE(taken(read_removal("tiny", "a=b&wait=false", models())).waits);
    EXPECT_TRUE(taken(read_removal("tiny", "wait=true", models())).waits);
    EXPECT_EQ(shm::field_text(taken(read_removal("other", "", models())).message.model), "other");
    EXPECT_EQ(refused(read_removal("tiny", "wait=no", models())), "400 invalid_value wait");
    EXPECT_EQ(refused(read_removal("", "", models())), "404 model_not_found model");
    EXPECT_EQ(refused(read_removal(std::string(128, 'a'), "", models())),
              "404 model_not_found model");
    EXPECT_EQ(refused(read_removal(std::string("a\0", 2), "", models())),
              "404 model_not_found model");
}

}  // namespace
}  // namespace bitnetd::frontend
