// Goal: every generation parameter has the type, bounds and default of api.md; what is wrong is a
// 400
//   that names it; null is absent.
// Method: one table row per field: values that pass, values that do not.
#include "supervisor/frontend/api/generation_params.h"

#include <gtest/gtest.h>

#include <limits>

namespace bitnetd::frontend {
namespace {

using Json = OrderedJson;

struct Row {
    std::string field;
    std::vector<Json> good;
    std::vector<Json> bad;
    Json also = Json::object();  // fields that it needs beside it
};

// As it comes off the wire.
Json wire(const Json& body) {
    return Json::parse(body.dump());
}

std::optional<ApiError> error_of(const Json& body, RouteKind route, RequestLimits limits = {}) {
    const Json received = wire(body);
    Fields fields(received);
    read_generation_params(fields, route, limits);
    if (limits.strict) fields.refuse_unknown();
    return fields.error();
}

GenerationParams params_of(const Json& body, RouteKind route = RouteKind::kChat) {
    const Json received = wire(body);
    Fields fields(received);
    GenerationParams params = read_generation_params(fields, route, {});
    EXPECT_FALSE(fields.failed()) << body << (fields.failed() ? fields.error()->message : "");
    return params;
}

void check_rows(const std::vector<Row>& rows, RouteKind route) {
    for (const Row& row : rows) {
        const auto with = [&row](const Json& value) {
            Json body = row.also;
            body[row.field] = value;
            return body;
        };
        std::vector<Json> good = row.good;
        good.push_back(nullptr);
        for (const Json& value : good) {
            const auto error = error_of(with(value), route);
            EXPECT_FALSE(error) << with(value) << ": " << error->message;
        }
        for (const Json& value : row.bad) {
            const auto error = error_of(with(value), route);
            ASSERT_TRUE(error) << with(value);
            EXPECT_EQ(error->status, 400) << with(value);
            EXPECT_TRUE(error->param.starts_with(row.field)) << with(value) << error->param;
            EXPECT_NE(error->message.find(row.field), std::string::npos) << error->message;
        }
    }
}

const Json kHuge = 1e308;
const Json kOldMax = std::numeric_limits<uint64_t>::max();

std::vector<Json> wrong_numbers(double below, double above) {
    return {below, above, "1", true, Json::array(), Json::object(), kHuge, -1e308};
}

TEST(GenerationParamsTest, SamplingFields) {
    check_rows({{"temperature", {0, 0.0, 1, 1.7, 2}, wrong_numbers(-0.001, 2.001)},
                {"top_p", {0.0001, 0.5, 1}, wrong_numbers(0, 1.001)},
                {"min_p", {0, 0.5, 1}, wrong_numbers(-0.001, 1.001)},
                {"typical_p", {0, 0.5, 1}, wrong_numbers(-0.001, 1.001)},
                {"repetition_penalty", {0.001, 1, 2}, wrong_numbers(0, 2.001)},
                {"frequency_penalty", {-2, 0, 2}, wrong_numbers(-2.001, 2.001)},
                {"presence_penalty", {-2, 0, 2}, wrong_numbers(-2.001, 2.001)},
                {"top_k", {0, 1, 40, kOldMax}, {-1, 1.5, "1", true, Json::array()}}},
               RouteKind::kChat);
}

TEST(GenerationParamsTest, CountsAndChoices) {
    const std::vector<Json> not_counts = {0, -1, 1.0, 1.5, "1", true, Json::array(), kHuge};
    std::vector<Json> beyond_16 = not_counts;
    beyond_16.push_back(17);
    check_rows({{"max_tokens", {1, 16, kOldMax}, not_counts},
                {"max_completion_tokens", {1, kOldMax}, not_counts},
                {"n", {1, 16}, beyond_16},
                {"timeout_ms", {1, 600'000}, {0, -1, 600'001, "1", 1.5}},
                {"seed",
                 {0, -1, std::numeric_limits<int64_t>::min(), kOldMax},
                 {1.5, "1", true, 1.8446744073709552e19, -1e19}},
                {"priority", {"high", "normal", "low"}, {"urgent", 1, true, ""}},
                {"device_preference", {"auto", "cpu", "gpu"}, {"tpu", 0}},
                {"quantization_preference", {"auto", "i2s", "tl1", "tl2"}, {"q4", 0}},
                {"ignore_eos", {true, false}, {0, "true"}},
                {"stream", {true, false}, {1, "true"}},
                {"model", {"a"}, {1, std::string(257, 'a')}}},
               RouteKind::kChat);
    check_rows({{"best_of", {1, 16}, beyond_16},
                {"echo", {true, false}, {0, "x"}},
                {"logprobs", {0, 20}, {21, -1, true, "1"}}},
               RouteKind::kCompletions);
}

TEST(GenerationParamsTest, StopStrings) {
    const Json sixteen = Json(std::vector<std::string>(16, "x"));
    const Json seventeen = Json(std::vector<std::string>(17, "x"));
    check_rows({{"stop",
                 {"a", "ö", std::string(256, 'a'), Json::array(), sixteen},
                 {"", std::string(257, 'a'), seventeen, Json::array({""}), Json::array({1}), 7}}},
               RouteKind::kChat);
    EXPECT_EQ(params_of({{"stop", "a"}}).stops, std::vector<std::string>{"a"});
    EXPECT_EQ(params_of({{"stop", {"a", "b"}}}).stops, (std::vector<std::string>{"a", "b"}));
}

TEST(GenerationParamsTest, LogitBias) {
    Json many = Json::object();
    for (int i = 0; i < 1024; ++i)
        many[std::to_string(i)] = 1;
    Json too_many = many;
    too_many["1024"] = 1;
    check_rows({{"logit_bias",
                 {Json::object(), {{"5", -100}}, {{"5", 100}, {"6", 0.5}}, many},
                 {{{"5", 100.5}},
                  {{"5", -101}},
                  {{"x", 1}},
                  {{"-1", 1}},
                  {{"5x", 1}},
                  {{"", 1}},
                  {{"4294967296", 1}},
                  {{"5", "1"}},
                  {{"5", nullptr}},
                  Json::array(),
                  too_many}}},
               RouteKind::kChat);
    const auto bias = params_of({{"logit_bias", {{"7", -2.5}}}}).bias;
    ASSERT_EQ(bias.size(), 1u);
    EXPECT_EQ(bias[0].token, 7u);
    EXPECT_EQ(bias[0].bias, -2.5f);
}

TEST(GenerationParamsTest, FieldsThatNeedEachOther) {
    check_rows({{"top_logprobs", {0, 20}, {21, -1, true}, {{"logprobs", true}}},
                {"logprobs", {true, false}, {1, "true"}},
                {"stream_options",
                 {Json::object(), {{"include_usage", true}}},
                 {{{"include_usage", 1}}, 1, true},
                 {{"stream", true}}}},
               RouteKind::kChat);
    EXPECT_EQ(error_of({{"top_logprobs", 1}}, RouteKind::kChat)->param, "top_logprobs");
    EXPECT_EQ(error_of({{"stream_options", Json::object()}}, RouteKind::kChat)->param,
              "stream_options");
    const auto route = RouteKind::kCompletions;
    EXPECT_EQ(error_of({{"best_of", 1}, {"n", 2}}, route)->param, "best_of");
    EXPECT_EQ(error_of({{"best_of", 2}, {"stream", true}}, route)->param, "best_of");
    EXPECT_FALSE(error_of({{"best_of", 2}, {"n", 2}, {"stream", true}}, route));
}

TEST(GenerationParamsTest, WhatIsNotThereIsRefusedUnlessDefault) {
    const std::pair<std::string, Json> refused[] = {
        {"response_format", {{"type", "json_object"}}},
        {"response_format", {{"type", "json_schema"}, {"json_schema", Json::object()}}},
        {"tools", Json::array({Json::object()})},
        {"functions", Json::array({Json::object()})},
        {"tool_choice", "required"},
        {"tool_choice", Json::object()},
        {"suffix", "x"}};
    for (const auto& [field, value] : refused) {
        const auto error = error_of({{field, value}}, RouteKind::kChat);
        ASSERT_TRUE(error) << field;
        EXPECT_EQ(error->code, "unsupported_parameter") << field;
        EXPECT_EQ(error->param, field);
    }
    const std::pair<std::string, Json> accepted[] = {{"response_format", {{"type", "text"}}},
                                                     {"tools", Json::array()},
                                                     {"tool_choice", "none"},
                                                     {"suffix", ""},
                                                     {"user", "me"},
                                                     {"parallel_tool_calls", true}};
    for (const auto& [field, value] : accepted) {
        EXPECT_FALSE(error_of({{field, value}}, RouteKind::kChat)) << field;
    }
    EXPECT_EQ(error_of({{"response_format", {{"type", "xml"}}}}, RouteKind::kChat)->code,
              "invalid_value");
}

TEST(GenerationParamsTest, Defaults) {
    const GenerationParams chat = params_of(Json::object());
    EXPECT_FALSE(chat.max_tokens);
    EXPECT_EQ(chat.sampling.temperature, 1.0f);
    EXPECT_EQ(chat.sampling.top_p, 1.0f);
    EXPECT_EQ(chat.sampling.top_k, 0u);
    EXPECT_EQ(chat.sampling.min_p, 0.0f);
    EXPECT_EQ(chat.sampling.typical_p, 1.0f);
    EXPECT_EQ(chat.sampling.repetition_penalty, 1.0f);
    EXPECT_EQ(chat.n, 1u);
    EXPECT_EQ(chat.best_of, 1u);
    EXPECT_FALSE(chat.seed);
    EXPECT_FALSE(chat.stream || chat.include_usage || chat.ignore_eos || chat.wants_logprobs);
    EXPECT_EQ(chat.priority, Priority::kNormal);
    EXPECT_EQ(chat.timeout_ms, 600'000u);
    EXPECT_EQ(params_of(Json::object(), RouteKind::kCompletions).max_tokens, 16u);
    EXPECT_EQ(params_of({{"max_tokens", 3}, {"max_completion_tokens", 5}}).max_tokens, 5u);
    EXPECT_EQ(params_of({{"seed", -1}}).seed, UINT64_MAX);
}

TEST(GenerationParamsTest, StrictRefusesUnknownFields) {
    RequestLimits strict;
    strict.strict = true;
    EXPECT_FALSE(error_of({{"temprature", 1}}, RouteKind::kChat));
    const auto error = error_of({{"temprature", 1}}, RouteKind::kChat, strict);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->param, "temprature");
    EXPECT_FALSE(error_of({{"temperature", 1}, {"user", "me"}}, RouteKind::kChat, strict));
}

}  // namespace
}  // namespace bitnetd::frontend
