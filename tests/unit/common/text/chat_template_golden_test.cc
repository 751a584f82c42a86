// Goal: chat templates print exactly what Hugging Face's renderer prints, and conversations that a
// template refuses are refused. Method: golden renderings, made by jinja2, of real templates.
#include <gtest/gtest.h>

#include <ctime>

#include "common/text/chat_template.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

using nlohmann::ordered_json;

int64_t unix_time(const std::string& iso) {
    std::tm time{};
    EXPECT_NE(strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%S", &time), nullptr) << iso;
    return timegm(&time);
}

void check_case(const ChatTemplate& chat, const ordered_json& golden, const ordered_json& c) {
    SCOPED_TRACE("case " + c["name"].get<std::string>());
    ordered_json variables;
    variables["bos_token"] = golden["bos_token"];
    variables["eos_token"] = golden["eos_token"];
    for (const char* name : {"messages", "tools", "add_generation_prompt"})
        variables[name] = c[name];
    if (c.contains("extra")) variables.update(c["extra"]);
    const auto text = chat.render(
        variables, {.now_unix_s = unix_time(golden["strftime_now"].get<std::string>())});
    if (c.contains("error")) {
        EXPECT_FALSE(text.ok()) << text->str();
    } else {
        ASSERT_TRUE(text.ok()) << text.error().message;
        EXPECT_EQ(text->str(), c["expected"].get<std::string>());
    }
}

void check_folder(const std::filesystem::path& folder, size_t files_min) {
    size_t files = 0;
    for (const auto& path : tests::json_files(folder)) {
        SCOPED_TRACE(path.string());
        const ordered_json golden = tests::read_ordered_json(path);
        const auto chat =
            ChatTemplate::parse(tests::read_text(folder / golden["template"].get<std::string>()));
        ASSERT_TRUE(chat.ok()) << chat.error().message;
        for (const auto& c : golden["cases"])
            check_case(*chat, golden, c);
        ++files;
    }
    EXPECT_GE(files, files_min);
}

TEST(ChatTemplateGolden, RendersEveryCase) {
    check_folder(tests::golden_path("templates"), 13);
}

// The other templates, and conversations with reasoning and content parts for all.
TEST(ChatTemplateGolden, RendersWhatJinja2Renders) {
    check_folder(tests::golden_path("jinja/templates"), 21);
}

TEST(ChatTemplateGolden, ParsesEveryTemplate) {
    size_t files = 0;
    const auto folder = tests::golden_path("templates/source");
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const auto chat = ChatTemplate::parse(tests::read_text(entry.path()));
        EXPECT_TRUE(chat.ok()) << entry.path() << ": " << chat.error().message;
        ++files;
    }
    EXPECT_EQ(files, 21u);
}

TEST(ChatTemplateGoldenFull, RendersEveryCase) {
    const auto folder = tests::large_golden_path("templates");
    if (!is_directory(folder)) GTEST_SKIP() << tests::kNoLargeGolden;
    check_folder(folder, 13);
}

TEST(ChatTemplateGoldenFull, ParsesEveryTemplate) {
    const auto folder = tests::large_golden_path("templates/source");
    if (!is_directory(folder)) GTEST_SKIP() << tests::kNoLargeGolden;
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const auto chat = ChatTemplate::parse(tests::read_text(entry.path()));
        EXPECT_TRUE(chat.ok()) << entry.path() << ": " << chat.error().message;
        ++files;
    }
    EXPECT_GE(files, 13u);
}

}  // namespace
}  // namespace bitnetd::text
