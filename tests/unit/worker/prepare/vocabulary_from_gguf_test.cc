// Goal: the tokenizer keys of a model file become the right vocabulary, defaults and special cases
// included, and every wrong key is refused by name. Method: files written key by key.
#include <gtest/gtest.h>

#include <functional>

#include "common/gguf/gguf_reader.h"
#include "common/gguf/gguf_writer.h"
#include "common/text/vocabulary_image.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::worker {
namespace {

using Texts = std::vector<std::string>;

std::string key(const std::string& name) {
    return "tokenizer.ggml." + name;
}

// The keys of a small vocabulary; a test overrides or adds through `more`, or leaves some out.
struct Keys {
    std::string model = "gpt2";
    Texts tokens = {"a", "b", "ab", "<|eot_id|>", "<s>", "</s>"};
    std::vector<int32_t> types = {1, 1, 1, 3, 3, 1};
    Texts merges = {"a b"};
    std::function<void(gguf::Writer&)> more = [](gguf::Writer&) {};
};

Result<std::vector<std::byte>> image_of(const Keys& keys) {
    gguf::Writer writer;
    writer.add_text("general.architecture", "llama");
    if (!keys.model.empty()) writer.add_text(key("model"), keys.model);
    if (!keys.tokens.empty()) writer.add_texts(key("tokens"), keys.tokens);
    if (!keys.types.empty()) writer.add_i32s(key("token_type"), keys.types);
    if (!keys.merges.empty()) writer.add_texts(key("merges"), keys.merges);
    keys.more(writer);
    const auto bytes = writer.file({});
    MemorySource source(bytes);
    BITNETD_ASSIGN(const gguf::File file, gguf::read(source));
    return vocabulary_from_gguf(file.metadata);
}

std::string error_of(const Keys& keys) {
    const auto image = image_of(keys);
    return image.ok() ? "" : image.error().message;
}

// The image and its view, which points into it.
struct Opened {
    std::vector<std::byte> image;
    text::VocabularyView view;
};
Opened open(const Keys& keys) {
    auto image = image_of(keys);
    EXPECT_TRUE(image.ok()) << image.error().message;
    auto view = text::VocabularyView::open(*image);
    EXPECT_TRUE(view.ok()) << view.error().message;
    return {std::move(*image), *view};
}

TEST(VocabularyFromGguf, ReadsABpeVocabulary) {
    Keys keys;
    keys.more = [](gguf::Writer& w) {
        w.add_text(key("pre"), "llama-bpe");
        w.add_u32(key("bos_token_id"), 4);
        w.add_u64(key("eos_token_id"), 5);
        w.add_text("tokenizer.chat_template", "{{ messages }}");
    };
    const Opened opened = open(keys);
    const auto& view = opened.view;
    EXPECT_EQ(view.model(), text::VocabularyModel::kBpe);
    EXPECT_EQ(view.pre_tokenizer(), "llama-bpe");
    EXPECT_TRUE(view.has(text::kIgnoreMerges));
    EXPECT_TRUE(view.has(text::kAddBos)) << "the default of this pre-tokenizer";
    EXPECT_EQ(view.bos(), 4u);
    EXPECT_EQ(view.eos(), 5u);
    EXPECT_EQ(view.eot(), 3u) << "found by its text";
    EXPECT_TRUE(view.is_end_of_generation(3));
    EXPECT_TRUE(view.is_end_of_generation(5));
    EXPECT_FALSE(view.is_end_of_generation(4));
    EXPECT_EQ(view.type(5), text::TokenType::kControl) << "</s> is retyped";
    EXPECT_EQ(view.chat_template(), "{{ messages }}");
}

TEST(VocabularyFromGguf, ReadsAnSpmVocabulary) {
    Keys keys{.model = "llama", .merges = {}};
    keys.more = [](gguf::Writer& w) {
        w.add_f32s(key("scores"), std::vector<float>{0, -1, -2, -3, -4, -5});
        w.add_bool(key("add_space_prefix"), false);
        w.add_bool(key("add_eos_token"), true);
    };
    const Opened opened = open(keys);
    const auto& view = opened.view;
    EXPECT_EQ(view.model(), text::VocabularyModel::kSpm);
    EXPECT_EQ(view.score(2), -2.0f);
    EXPECT_EQ(view.bos(), 1u);
    EXPECT_EQ(view.eos(), 2u);
    EXPECT_EQ(view.unknown(), 0u);
    EXPECT_TRUE(view.has(text::kAddBos));
    EXPECT_TRUE(view.has(text::kAddEos));
    EXPECT_FALSE(view.has(text::kAddSpacePrefix));
}

TEST(VocabularyFromGguf, AcceptsIntegerScores) {
    Keys keys{.model = "llama", .merges = {}};
    keys.more = [](gguf::Writer& w) {
        w.add_i32s(key("scores"), std::vector<int32_t>{0, -1, -2, -3, -4, -5});
    };
    EXPECT_EQ(open(keys).view.score(5), -5.0f);
}

TEST(VocabularyFromGguf, WithoutPreTheDefaultCounts) {
    const Opened opened = open({});
    EXPECT_EQ(opened.view.pre_tokenizer(), "");
    EXPECT_FALSE(opened.view.has(text::kIgnoreMerges));
    EXPECT_FALSE(opened.view.has(text::kAddBos));
}

// The published BitNet 2B-4T file has no pre key and an old template.
TEST(VocabularyFromGguf, KnowsTheBitnetFile) {
    Keys keys;
    keys.types.clear();
    keys.tokens.assign(128'256, "x");
    keys.tokens[0] = "a";
    keys.tokens[1] = "b";
    keys.tokens[128'000] = "<|begin_of_text|>";
    keys.tokens[128'001] = "<|end_of_text|>";
    keys.tokens[128'009] = "<|eot_id|>";
    keys.more = [](gguf::Writer& w) {
        w.add_u32(key("bos_token_id"), 128'000);
        w.add_u32(key("eos_token_id"), 128'001);
        w.add_text("tokenizer.chat_template",
                   "{% if x %}Human: {{ x }} BITNETAssistant: {% endif %}");
    };
    const Opened opened = open(keys);
    EXPECT_EQ(opened.view.pre_tokenizer(), "llama-bpe");
    EXPECT_TRUE(opened.view.has(text::kIgnoreMerges));
    EXPECT_NE(opened.view.chat_template().find("'Assistant: '"), std::string_view::npos);
    EXPECT_EQ(opened.view.chat_template().find("BITNET"), std::string_view::npos);
    EXPECT_EQ(opened.view.eot(), 128'009u);

    keys.tokens[128'000] = "<other>";
    EXPECT_EQ(open(keys).view.pre_tokenizer(), "");
}

TEST(VocabularyFromGguf, IdsBeyondTheVocabularyAreIgnored) {
    Keys keys;
    keys.more = [](gguf::Writer& w) {
        w.add_u32(key("bos_token_id"), 6);
        w.add_u32(key("eot_token_id"), 0xFFFFFFFF);
    };
    const Opened opened = open(keys);
    EXPECT_EQ(opened.view.bos(), std::nullopt);
    EXPECT_EQ(opened.view.eot(), 3u);
}

TEST(VocabularyFromGguf, RefusesByName) {
    const auto refused = [](const std::string& naming, auto change) {
        Keys keys;
        change(keys);
        const std::string error = error_of(keys);
        EXPECT_NE(error.find(naming), std::string::npos) << "'" << error << "' names no " << naming;
    };
    refused("tokenizer.ggml.model", [](Keys& k) { k.model = ""; });
    refused("bert", [](Keys& k) { k.model = "bert"; });
    refused("tokenizer.ggml.tokens", [](Keys& k) { k.tokens = {}; });
    refused("tokenizer.ggml.token_type", [](Keys& k) { k.types.pop_back(); });
    refused("tokenizer.ggml.token_type", [](Keys& k) { k.types[2] = 7; });
    refused("tokenizer.ggml.token_type", [](Keys& k) { k.types[2] = -1; });
    refused("tokenizer.ggml.merges", [](Keys& k) { k.merges = {}; });
    refused("tokenizer.ggml.merges", [](Keys& k) { k.merges = {"ab"}; });
    refused("tokenizer.ggml.scores", [](Keys& k) { k.model = "llama"; });
    refused("kimi-k2",
            [](Keys& k) { k.more = [](gguf::Writer& w) { w.add_text(key("pre"), "kimi-k2"); }; });
    refused("tokenizer.ggml.pre",
            [](Keys& k) { k.more = [](gguf::Writer& w) { w.add_u32(key("pre"), 1); }; });
    refused("tokenizer.ggml.bos_token_id", [](Keys& k) {
        k.more = [](gguf::Writer& w) { w.add_text(key("bos_token_id"), "1"); };
    });
    refused("tokenizer.ggml.add_bos_token",
            [](Keys& k) { k.more = [](gguf::Writer& w) { w.add_u32(key("add_bos_token"), 1); }; });
    refused("tokenizer.ggml.suppress_tokens", [](Keys& k) {
        k.more = [](gguf::Writer& w) {
            w.add_i32s(key("suppress_tokens"), std::vector<int32_t>{6});
        };
    });
    refused("scores", [](Keys& k) {
        k.model = "llama";
        k.more = [](gguf::Writer& w) { w.add_f32s(key("scores"), std::vector<float>{1, 2}); };
    });
}

}  // namespace
}  // namespace bitnetd::worker
