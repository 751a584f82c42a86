// Goal: /tokenize, /detokenize and /apply-template say what the model's tokenizer and template make
// of a text, refuse what they should with an error that names the field, and give templates the
// keys of tools in the client's order. Method: requests through Api, on the loop and on the pool; a
// table of bad bodies; golden renderings of real templates with tools.
#include "common/text/utf8.h"
#include "tests/support/golden.h"
#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

class TextRoutesTest : public ApiTest {
  protected:
    Json answer(std::string_view path, std::string body) {
        FakeExchange& exchange = send(Method::kPost, std::string(path), std::move(body));
        EXPECT_TRUE(exchange.response) << path;
        if (!exchange.response) return {};
        EXPECT_EQ(exchange.response->status, 200) << exchange.response->body;
        return exchange.body();
    }
    void use_template(const std::string& source) {
        catalog_.add(make_test_model(make_test_image(source)));
    }
};

TEST_F(TextRoutesTest, OneThatIsRefusedIsNoGeneration) {
    tasks_.at_once = false;
    const auto refuse = [&](const char* path) {
        const std::string body = R"({"messages":[{"role":"user","content":"hi"}]})";
        while (true) {
            const FakeExchange& exchange = send(Method::kPost, path, body);
            if (exchange.response) return exchange.response->status;
        }
    };
    EXPECT_EQ(refuse("/apply-template"), 503);
    EXPECT_EQ(board_.counter(Counter::kGenerationsRefused), 0u);
    EXPECT_EQ(refuse("/v1/chat/completions"), 503);
    EXPECT_EQ(board_.counter(Counter::kGenerationsRefused), 1u);
}

TEST_F(TextRoutesTest, TokenizeHasTheDocumentedDefaults) {
    EXPECT_EQ(answer("/tokenize", R"({"content":"a<|end|>"})"),
              Json::parse(R"({"tokens":[97,257],"count":2})"));
    EXPECT_EQ(answer("/tokenize", R"({"prompt":"hello"})"),
              Json::parse(R"({"tokens":[260],"count":1})"));
    EXPECT_EQ(answer("/tokenize", R"({"content":"a","add_special":true})"),
              Json::parse(R"({"tokens":[256,97],"count":2})"));
    EXPECT_EQ(answer("/tokenize", R"({"content":"<|end|>","parse_special":false})")["count"], 7);
    EXPECT_EQ(answer("/tokenize", R"({"content":"","model":"tiny"})"),
              Json::parse(R"({"tokens":[],"count":0})"));
    EXPECT_EQ(answer("/tokenize", R"({"content":"x","prompt":null,"with_pieces":true})")["count"],
              1)
        << "null is absent, unknown fields are ignored";
}

TEST_F(TextRoutesTest, WhatTokenizeMadeComesBack) {
    for (const std::string text :
         {"", "hello", "h\u00E9 \u6771\u4EAC \U0001F642\n", "a<|end|>b\t\"\\"}) {
        const Json tokens = answer("/tokenize", Json({{"content", text}}).dump());
        EXPECT_EQ(answer("/detokenize", Json({{"tokens", tokens["tokens"]}}).dump()),
                  Json({{"content", text}}));
    }
    EXPECT_EQ(answer("/detokenize", R"({"tokens":[195]})"), Json({{"content", "\uFFFD"}}))
        << "half a character";
}

TEST_F(TextRoutesTest, LargeBodiesGoToThePool) {
    tasks_.at_once = false;
    const std::string text(64 * 1024, 'x');
    FakeExchange& large = send(Method::kPost, "/tokenize", Json({{"content", text}}).dump());
    EXPECT_FALSE(large.answered());
    EXPECT_EQ(api_.active(), 1u);
    FakeExchange& gone = send(Method::kPost, "/tokenize", Json({{"content", text}}).dump());
    std::exchange(gone.on_gone, {})();
    FakeExchange& rendered =
        send(Method::kPost, "/apply-template", R"({"messages":[{"role":"user","content":"a"}]})");
    EXPECT_FALSE(rendered.answered()) << "templates always do";
    tasks_.run_all();
    EXPECT_EQ(large.body()["count"], text.size());
    EXPECT_FALSE(gone.answered());
    EXPECT_EQ(rendered.body()["prompt"], "<|begin|><|user|>user:a<|end|><|bot|>");
    EXPECT_EQ(api_.active(), 0u);
}

TEST_F(TextRoutesTest, ApplyTemplateTakesWhatChatTakes) {
    EXPECT_EQ(
        answer("/apply-template",
               R"({"messages":[{"role":"developer","content":[{"type":"text","text":"<|end|>"}]}],
                         "add_generation_prompt":false,"tools":[]})"),
        Json({{"prompt", "<|begin|><|user|>system:<|end|><|end|>"}}));
}

TEST_F(TextRoutesTest, TemplatesSeeKeysInTheClientsOrder) {
    use_template("{{ tools | tojson }}{{ messages[0].tool_calls | tojson }}");
    const std::string tools =
        R"([{"type": "function", "function": {"name": "f", "b": 1, "a": 2}}])";
    const std::string calls = R"([{"z": {"y": 1, "x": [{"w": 1, "v": 2}]}, "id": "1"}])";
    const Json body =
        answer("/apply-template", R"({"tools":)" + tools + R"(,"messages":[{"tool_calls":)" +
                                      calls + R"(,"role":"assistant"}]})");
    EXPECT_EQ(body["prompt"].get<std::string>(), tools + calls);
    use_template("{{ tools is none }}");
    EXPECT_EQ(answer("/apply-template", R"({"messages":[{"role":"user","content":""}]})")["prompt"],
              "True");
}

// The bodies are made of the golden file's own text order.
TEST_F(TextRoutesTest, RealTemplatesWithTools) {
    size_t cases = 0;
    for (const char* name : {"hermes-2-pro-tools", "qwen2.5", "qwen3", "chatml"}) {
        const auto read = [](const std::filesystem::path& path) {
            const auto bytes = tests::read_bytes(tests::golden_path("templates") / path);
            return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        };
        const auto golden = OrderedJson::parse(read(std::string(name) + ".json"));
        use_template(read(golden["template"].get<std::string>()));
        for (const auto& c : golden["cases"]) {
            OrderedJson body;
            for (const char* field : {"messages", "tools", "add_generation_prompt"})
                body[field] = c[field];
            std::string expected = c["expected"].get<std::string>();
            const auto bos = golden["bos_token"].get<std::string>();
            if (!bos.empty() && expected.starts_with(bos))
                expected.replace(0, bos.size(), "<|begin|>");
            EXPECT_EQ(answer("/apply-template", body.dump())["prompt"], expected)
                << name << c["name"];
            ++cases;
        }
    }
    EXPECT_EQ(cases, 32u);
}

TEST_F(TextRoutesTest, BadBodies) {
    struct Bad {
        const char* path;
        std::string body;
        int status;
        const char* code;
        Json param;
    };
    const std::string message = R"("messages":[{"role":"user","content":"a"}])";
    const Bad bad[] = {
        {"/tokenize", "", 400, "invalid_json", nullptr},
        {"/tokenize", "[]", 400, "invalid_json", nullptr},
        {"/tokenize", "{\"content\":\"\xff\"}", 400, "invalid_json", nullptr},
        {"/tokenize", "{}", 400, "missing_field", "content"},
        {"/tokenize", R"({"content":null})", 400, "missing_field", "content"},
        {"/tokenize", R"({"content":1})", 400, "invalid_value", "content"},
        {"/tokenize", R"({"prompt":["a"]})", 400, "invalid_value", "prompt"},
        {"/tokenize", R"({"content":"a","prompt":"a"})", 400, "invalid_value", "prompt"},
        {"/tokenize", R"({"content":"a","add_special":1})", 400, "invalid_value", "add_special"},
        {"/tokenize", R"({"content":"a","parse_special":"no"})", 400, "invalid_value",
         "parse_special"},
        {"/tokenize", R"({"content":"a","model":7})", 400, "invalid_value", "model"},
        {"/tokenize", R"({"content":"a","model":"big"})", 404, "model_not_found", "model"},
        {"/detokenize", "{}", 400, "missing_field", "tokens"},
        {"/detokenize", R"({"tokens":"1"})", 400, "invalid_value", "tokens"},
        {"/detokenize", R"({"tokens":[1,"2"]})", 400, "invalid_value", "tokens"},
        {"/detokenize", R"({"tokens":[-1]})", 400, "invalid_value", "tokens"},
        {"/detokenize", R"({"tokens":[1.5]})", 400, "invalid_value", "tokens"},
        {"/detokenize", R"({"tokens":[261]})", 400, "invalid_value", "tokens"},
        {"/detokenize", R"({"tokens":[18446744073709551616]})", 400, "invalid_value", "tokens"},
        {"/detokenize", R"({"tokens":[1],"model":"big"})", 404, "model_not_found", "model"},
        {"/apply-template", "{}", 400, "missing_field", "messages"},
        {"/apply-template", R"({"messages":[]})", 400, "invalid_value", "messages"},
        {"/apply-template", R"({"messages":[{"role":"boss","content":""}]})", 400, "invalid_value",
         "messages[0].role"},
        {"/apply-template", "{" + message + R"(,"tools":{}})", 400, "invalid_value", "tools"},
        {"/apply-template", "{" + message + R"(,"tools":[1]})", 400, "invalid_value", "tools"},
        {"/apply-template", "{" + message + R"(,"add_generation_prompt":"x"})", 400,
         "invalid_value", "add_generation_prompt"},
        {"/apply-template", "{" + message + R"(,"model":"big"})", 404, "model_not_found", "model"},
    };
    for (const auto& [path, body, status, code, param] : bad) {
        FakeExchange& exchange = send(Method::kPost, path, body);
        ASSERT_TRUE(exchange.response) << path << body;
        EXPECT_EQ(exchange.response->status, status) << path << body;
        const Json error = exchange.body()["error"];
        EXPECT_EQ(error["code"], code) << path << body;
        EXPECT_EQ(error["param"], param) << path << body;
        EXPECT_FALSE(error["message"].get<std::string>().empty()) << path << body;
    }
    EXPECT_EQ(send(Method::kGet, "/tokenize").response->status, 405);
}

TEST_F(TextRoutesTest, TextAndStrictnessAreLimited) {
    RequestLimits limits;
    limits.text_bytes_max = 8;
    limits.strict = true;
    const auto error_param = [&](TextRoute route, std::string_view body) {
        const TextAnswer answer = answer_text_route(route, body, *catalog_.list(), limits);
        const auto* error = std::get_if<ApiError>(&answer);
        return error == nullptr ? "none" : error->param;
    };
    EXPECT_EQ(error_param(TextRoute::kTokenize, R"({"content":"12345678"})"), "none");
    EXPECT_EQ(error_param(TextRoute::kTokenize, R"({"content":"123456789"})"), "content");
    EXPECT_EQ(error_param(TextRoute::kTokenize, R"({"content":"","with_pieces":true})"),
              "with_pieces");
    EXPECT_EQ(error_param(TextRoute::kTokenize, R"({"prompt":"","add_special":true})"), "none");
    EXPECT_EQ(error_param(TextRoute::kDetokenize, R"({"tokens":[256]})"), "tokens")
        << "<|begin|> has nine bytes";
    EXPECT_EQ(
        error_param(TextRoute::kApplyTemplate, R"({"messages":[{"role":"user","content":"a"}]})"),
        "messages");
}

TEST_F(TextRoutesTest, AModelWithoutATemplateSaysSo) {
    use_template("");
    FakeExchange& exchange =
        send(Method::kPost, "/apply-template", R"({"messages":[{"role":"user","content":"a"}]})");
    EXPECT_EQ(exchange.response->status, 400);
    EXPECT_EQ(exchange.body()["error"]["param"], "model");
}

}  // namespace
}  // namespace bitnetd::frontend
