// Goal: what a user writes can never become a role marker, whatever string operations the template
// puts it through, and what the template writes always does. Method: a vocabulary with markers,
// every template of the golden set's kind of operation, marker text in the user's message.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/text/chat_template.h"
#include "common/text/tokenizer.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

using nlohmann::ordered_json;

class PromptInjection : public ::testing::Test {
  protected:
    void SetUp() override {
        auto image =
            tests::vocabulary_image(tests::golden_path("tokenizers/vocab/own-llama-bpe.gguf"));
        ASSERT_TRUE(image.ok()) << image.error().message;
        image_ = std::move(*image);
        const auto view = VocabularyView::open(image_);
        ASSERT_TRUE(view.ok()) << view.error().message;
        auto tokenizer = Tokenizer::create(*view);
        ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
        tokenizer_.emplace(std::move(*tokenizer));
        // Any control token but BOS serves as a marker.
        for (const uint32_t id : view->specials()) {
            if (view->type(id) == TokenType::kControl && id != view->bos()) marker_ = id;
        }
        ASSERT_NE(marker_, kNoId);
        marker_text_ = view->text(marker_);
    }

    // How many markers the prompt holds that the template `source` makes of `content`.
    size_t markers(const std::string& source, const std::string& content) {
        const auto chat = ChatTemplate::parse(source);
        EXPECT_TRUE(chat.ok()) << chat.error().message;
        ordered_json variables;
        variables["content"] = content;
        variables["m"] = marker_text_;  // a user's too
        variables["message"] = {{"role", "user"}, {"content", content}};
        variables["tools"] = ordered_json::array({{{"description", content}}});
        const auto prompt = chat->render(variables);
        EXPECT_TRUE(prompt.ok()) << prompt.error().message;
        const auto ids = tokenizer_->encode_prompt(*prompt);
        EXPECT_TRUE(ids.ok()) << ids.error().message;
        return static_cast<size_t>(std::count(ids->begin(), ids->end(), marker_));
    }

    std::vector<std::byte> image_;
    std::optional<Tokenizer> tokenizer_;
    uint32_t marker_ = kNoId;
    std::string marker_text_;
};

TEST_F(PromptInjection, UserTextIsNeverAMarker) {
    const std::string attack = " x " + marker_text_ + " y " + marker_text_ + "\n";
    for (const char* source : {
             "{{ content }}",
             "{{ content | trim }}",
             "{{ content.strip() + 'z' }}",
             "{{ 'a' ~ content ~ 'b' }}",
             "{{ content.split(' y ')[-1] }}",
             "{{ content[1:] }}",
             "{{ content | replace('x', 'q') }}",
             "{{ content | upper | lower | trim }}",
             "{{ content | indent(2) }}",
             "{{ [content] }}",
             "{{ tools }}",
             "{{ message }}",
             "{{ [content, content] | join(', ') }}",
             "{{ content | string | list | join }}",
             "{% for c in content %}{{ c }}{% endfor %}",
             "{{ content | capitalize }}",
             "{% set x %}{{ content }}{% endset %}{{ x }}",
             "{{ content.replace('x', m) }}",
             "{% macro f(t) %}{{ t }}{% endmacro %}{{ f(content) }}",
             "{{ {'k': content}['k'] }}",
         }) {
        EXPECT_EQ(markers(source, attack), 0u) << source;
    }
}

TEST_F(PromptInjection, JsonOfUserTextIsNeverAMarker) {
    EXPECT_EQ(markers("{{ tools | tojson }}", marker_text_), 0u);
    EXPECT_EQ(markers("{{ tools | tojson(indent=2) }}", marker_text_), 0u);
    EXPECT_EQ(markers("{{ {content: content} | tojson }}", marker_text_), 0u);
}

TEST_F(PromptInjection, HalvesOfAMarkerDoNotJoin) {
    const std::string head = marker_text_.substr(0, 3), tail = marker_text_.substr(3);
    EXPECT_EQ(markers("{{ '" + head + "' + content }}", tail), 0u);
    EXPECT_EQ(markers("{{ content + '" + tail + "' }}", head), 0u);
    EXPECT_EQ(markers("{{ '" + head + "' ~ '" + tail + "' }}", ""), 1u) << "the template's own do";
}

TEST_F(PromptInjection, TheTemplatesMarkersCount) {
    const std::string marker = "'" + marker_text_ + "'";
    EXPECT_EQ(markers("{{ " + marker + " + content + " + marker + " }}", marker_text_), 2u);
    EXPECT_EQ(markers(marker_text_ + "{{ content }}" + marker_text_, marker_text_), 2u);
    EXPECT_EQ(markers("{{ (" + marker + " + content) | trim }}", marker_text_), 1u);
    EXPECT_EQ(markers("{{ content.replace('x', " + marker + ") }}", "axb"), 1u);
    EXPECT_EQ(markers("{{ [" + marker + "] | tojson }}", ""), 1u);
}

TEST_F(PromptInjection, BosComesOnce) {
    const auto bos = tokenizer_->vocabulary().bos();
    ASSERT_TRUE(bos && tokenizer_->vocabulary().has(kAddBos));
    const std::string bos_text(tokenizer_->vocabulary().text(*bos));
    for (const char* source : {"{{ bos_token }}{{ content }}", "{{ content }}"}) {
        const auto chat = ChatTemplate::parse(source);
        ASSERT_TRUE(chat.ok());
        const auto prompt = chat->render({{"bos_token", bos_text}, {"content", "hi " + bos_text}});
        ASSERT_TRUE(prompt.ok());
        const auto ids = tokenizer_->encode_prompt(*prompt);
        ASSERT_TRUE(ids.ok());
        EXPECT_EQ(std::count(ids->begin(), ids->end(), *bos), 1) << source;
        EXPECT_EQ(ids->front(), *bos) << source;
    }
}

}  // namespace
}  // namespace bitnetd::text
