// Goal: every feature of the template language means what it means in jinja2, errors included.
// Method: small templates with jinja2's own output as the golden
// result, made with the environment of Hugging Face's apply_chat_template.
#include <gtest/gtest.h>

#include "common/text/chat_template.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

constexpr int64_t kNow = 1'770'127'509;  // 2026-02-03T14:05:09Z, as in the golden file

TEST(JinjaLanguage, MeansWhatJinja2Means) {
    const auto golden = tests::read_ordered_json(tests::golden_path("jinja/language.json"));
    for (const auto& c : golden["cases"]) {
        const auto source = c["source"].get<std::string>();
        SCOPED_TRACE(source);
        const auto chat = ChatTemplate::parse(source);
        if (!chat.ok()) {
            EXPECT_TRUE(c.contains("error")) << chat.error().message;
            continue;
        }
        const auto text = chat->render(golden["variables"], {.now_unix_s = kNow});
        if (c.contains("error")) {
            EXPECT_FALSE(text.ok()) << "printed: " << text->str();
        } else if (text.ok()) {
            EXPECT_EQ(text->str(), c["expected"].get<std::string>());
        } else {
            ADD_FAILURE() << text.error().message;
        }
    }
}

// What jinja2 can do and this subset cannot is refused, never rendered differently.
TEST(JinjaLanguage, RefusesWhatIsOutsideTheSubset) {
    const auto golden = tests::read_ordered_json(tests::golden_path("jinja/language.json"));
    for (const auto& source : golden["refused"]) {
        SCOPED_TRACE(source.get<std::string>());
        const auto chat = ChatTemplate::parse(source.get<std::string>());
        if (!chat.ok()) continue;
        const auto text = chat->render(golden["variables"], {.now_unix_s = kNow});
        EXPECT_FALSE(text.ok()) << "printed: " << text->str();
    }
}

}  // namespace
}  // namespace bitnetd::text
