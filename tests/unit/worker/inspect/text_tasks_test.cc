// Goal: tokenize and render do for a person what a frontend does for a request, and refuse what is
// too much or no object of messages.
// Method: the small vocabulary of the prepare tests, templates of a line, JSON good and bad.
#include "worker/inspect/text_tasks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "tests/unit/worker/inspect/made_model.h"
#include "tests/unit/worker/prepare/model_file.h"
#include "worker/inspect/task_io.h"

namespace bitnetd::worker {
namespace {

std::unique_ptr<ModelInput> model(const std::string& chat_template = "") {
    test::ModelFile file;
    if (!chat_template.empty()) file.texts["tokenizer.chat_template"] = chat_template;
    auto input = test::open_bytes(file.bytes());
    if (!input.ok()) throw std::runtime_error(input.error().message);
    return std::move(input).value();
}

std::string tokenized(std::string_view text, text::EncodeOptions options = {}) {
    const auto ids = tokenize_text(*model(), text, options);
    return ids.ok() ? *ids : ids.error().message;
}

std::string rendered(std::string_view json, const std::string& source) {
    const auto prompt = render_prompt(*model(source), json, std::nullopt);
    return prompt.ok() ? *prompt : "error: " + prompt.error().message;
}

TEST(Tokenize, IsAJsonArray) {
    EXPECT_EQ(tokenized(""), "[]\n");
    const auto ids = nlohmann::json::parse(tokenized("xyz"));
    EXPECT_EQ(ids.size(), 3u);
    const auto all = nlohmann::json::parse(tokenized("xyz", {true, false}));
    EXPECT_GE(all.size(), ids.size());
}

TEST(Tokenize, ParsesSpecialTokensWhenAsked) {
    const std::string special = test::ModelFile().tokens[257];
    EXPECT_EQ(tokenized(special, {false, true}), "[257]\n");
    EXPECT_NE(tokenized(special), "[257]\n");
}

TEST(Tokenize, NeedsAVocabulary) {
    test::ModelFile file;
    file.tokens.clear();
    const auto input = test::open_bytes(file.bytes());
    const auto ids = tokenize_text(**input, "x", {});
    ASSERT_FALSE(ids.ok());
    EXPECT_NE(ids.error().message.find("tokenizer.ggml.tokens"), std::string::npos);
}

TEST(Render, GivesTheTemplateItsVariables) {
    const std::string source =
        "{{ messages[0].content }}|{{ add_generation_prompt }}|{{ tools }}|{{ extra }}|";
    EXPECT_EQ(rendered(R"({"messages": [{"content": "hi"}], "extra": 3})", source),
              "hi|False|None|3|");
    EXPECT_EQ(rendered(R"({"messages": [{"content": "hi"}], "add_generation_prompt": true,
                           "tools": [{"b": 1, "a": 2}]})",
                       "{{ add_generation_prompt }}{{ tools | tojson }}"),
              R"(True[{"b": 1, "a": 2}])");
}

TEST(Render, KnowsTheModelsTokensUnlessTold) {
    const test::ModelFile file;
    EXPECT_EQ(rendered(R"({"messages": []})", "{{ bos_token }}{{ eos_token }}"),
              file.tokens[256] + file.tokens[257]);
    EXPECT_EQ(rendered(R"({"messages": [], "bos_token": "<b>"})", "{{ bos_token }}"), "<b>");
}

TEST(Render, AGivenTemplateGoesFirst) {
    const auto prompt = render_prompt(*model("its own"), R"({"messages": []})", "given");
    ASSERT_TRUE(prompt.ok()) << prompt.error().message;
    EXPECT_EQ(*prompt, "given");
    const auto without = render_prompt(*model(), R"({"messages": []})", std::nullopt);
    ASSERT_FALSE(without.ok());
    EXPECT_NE(without.error().message.find("--template FILE"), std::string::npos);
}

TEST(Render, RefusesWhatIsNoObjectOfMessages) {
    const std::string many = "{\"messages\": [" + std::string(4'000'000, ',') + "]}";
    const std::string deep = "{\"messages\": " + std::string(64, '[') + std::string(64, ']') + "}";
    for (const auto& [json, reason] : std::vector<std::pair<std::string, std::string>>{
             {"", "not valid JSON"},
             {"{", "not valid JSON: at byte 2"},
             {"[]", "expected one JSON object"},
             {"{}", "\"messages\", an array"},
             {R"({"messages": {}})", "\"messages\", an array"},
             {R"({"messages": []} x)", "not valid JSON"},
             {R"({"messages": [1e999]})", "too large"},
             {std::string("{\"messages\": []}\0 ", 18), "NUL"},
             {deep, "nested deeper than 64"},
             {many, "more than 2000000 values"}}) {
        EXPECT_NE(rendered(json, "x").find(reason), std::string::npos) << reason;
    }
}

TEST(Render, BracketsInStringsAreNoDepth) {
    const std::string text(200, '[');
    EXPECT_EQ(rendered("{\"messages\": [{\"content\": \"\\\"" + text + "\"}]}",
                       "{{ messages[0].content }}"),
              "\"" + text);
}

TEST(TaskIo, InputIsBounded) {
    const Fd memory(memfd_create("input", MFD_CLOEXEC));
    ASSERT_EQ(write(memory.get(), "12345", 5), 5);
    EXPECT_EQ(read_input(memory.get(), "text", 5).value(), "12345");
    const auto refused = read_input(memory.get(), "text", 4);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().message, "text has 5 bytes; at most 4");
}

}  // namespace
}  // namespace bitnetd::worker
