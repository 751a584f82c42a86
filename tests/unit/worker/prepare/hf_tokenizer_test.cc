// Goal: tokenizer.json and its neighbours become the vocabulary they describe, and what a
// vocabulary cannot do is refused, naming the part. Method: small files changed part by part, read
// through the keys into an image, as in production.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/text/tokenizer.h"
#include "tests/unit/worker/prepare/hf_checkpoint.h"
#include "worker/prepare/hf_tokenizer.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::worker::test {
namespace {

using nlohmann::json;
using text::TokenType;
using Ids = std::vector<uint32_t>;

const std::string kSpace = "\u2581";
constexpr char kLlama3[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json split(const std::string& regex) {
    return {{"type", "Split"},
            {"pattern", {{"Regex", regex}}},
            {"behavior", "Isolated"},
            {"invert", false}};
}
json byte_level(bool regex) {
    return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", regex}};
}
json sequence(const char* children, const std::vector<json>& steps) {
    return {{"type", "Sequence"}, {children, steps}};
}
json added(uint32_t id, const std::string& text, bool special) {
    return {{"id", id}, {"content", text}, {"special", special}};
}
json with_template(const std::vector<std::pair<std::string, uint32_t>>& before,
                   const std::vector<std::pair<std::string, uint32_t>>& behind) {
    json parts = json::array();
    json specials = json::object();
    const auto add = [&](const auto& tokens) {
        for (const auto& [name, id] : tokens) {
            parts.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
            specials[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
        }
    };
    add(before);
    parts.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    add(behind);
    return {{"type", "TemplateProcessing"}, {"single", parts}, {"special_tokens", specials}};
}

// A directory's tokenizer files.
struct Files {
    json tokenizer;
    json config;      // tokenizer_config.json
    json generation;  // generation_config.json
    std::optional<std::string> chat_template;
    uint64_t vocab_size = 64;
    Ids eos_ids;

    Result<void> keys(gguf::Metadata& out) const {
        HfTokenizerTexts texts;
        texts.tokenizer = tokenizer.dump();
        if (!config.is_null()) texts.tokenizer_config = config.dump();
        if (!generation.is_null()) texts.generation_config = generation.dump();
        texts.chat_template = chat_template;
        safetensors::ModelConfig model;
        model.vocab_size = vocab_size;
        model.eos_ids = eos_ids;
        return add_tokenizer_keys(texts, model, out);
    }
    std::string error() const {
        gguf::Metadata out;
        const auto result = keys(out);
        return result.ok() ? "" : result.error().message;
    }
    std::string pre() const {
        gguf::Metadata out;
        const auto result = keys(out);
        if (!result.ok()) return result.error().message;
        return std::string(**out.text("tokenizer.ggml.pre"));
    }
};

// Letters a to z, ids 0 to 25, and "ab".
Files byte_level_files() {
    Files files;
    json vocabulary = {{"ab", 26}, {"abc", 27}};
    for (uint32_t i = 0; i < 26; ++i)
        vocabulary[std::string(1, static_cast<char>('a' + i))] = i;
    files.tokenizer = {{"pre_tokenizer", byte_level(true)},
                       {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"a b"}}}}};
    return files;
}

Files character_files() {
    Files files;
    json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
    constexpr char kHex[] = "0123456789ABCDEF";
    for (uint32_t byte = 0; byte < 256; ++byte)
        vocabulary[std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">"] = 3 + byte;
    vocabulary[kSpace] = 259;
    vocabulary["a"] = 260;
    vocabulary["b"] = 261;
    vocabulary[kSpace + "a"] = 262;
    const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
    const json prepend = {{"type", "Prepend"}, {"prepend", kSpace}};
    files.tokenizer = {
        {"added_tokens", {added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)}},
        {"normalizer", sequence("normalizers", {prepend, replace})},
        {"post_processor", with_template({{"<s>", 1}}, {})},
        {"model",
         {{"type", "BPE"},
          {"unk_token", "<unk>"},
          {"byte_fallback", true},
          {"vocab", vocabulary},
          {"merges", json::array({kSpace + " a"})}}}};
    files.vocab_size = 264;
    return files;
}

struct Opened {
    std::vector<std::byte> image;
    std::optional<text::Tokenizer> tokenizer;

    const text::VocabularyView& view() const { return tokenizer->vocabulary(); }
    Ids encode(const std::string& text, text::EncodeOptions options = {}) const {
        return tokenizer->encode(text, options).value();
    }
};
Opened open(const Files& files) {
    gguf::Metadata keys;
    const auto added_keys = files.keys(keys);
    if (!added_keys.ok()) throw std::runtime_error(added_keys.error().message);
    auto image = vocabulary_from_gguf(keys);
    if (!image.ok()) throw std::runtime_error(image.error().message);
    Opened out{std::move(*image), {}};
    out.tokenizer =
        std::move(text::Tokenizer::create(text::VocabularyView::open(out.image).value())).value();
    return out;
}

TEST(HfTokenizer, ByteLevel) {
    Files files = byte_level_files();
    files.tokenizer["added_tokens"] = {added(30, "<|im_end|>", true), added(31, "<tool>", false),
                                       added(26, "ab", false)};
    const Opened opened = open(files);
    const auto& view = opened.view();
    EXPECT_EQ(view.model(), text::VocabularyModel::kBpe);
    EXPECT_EQ(view.token_count(), 64u);
    EXPECT_EQ(view.text(30), "<|im_end|>");
    EXPECT_EQ(view.type(30), TokenType::kControl);
    EXPECT_EQ(view.type(31), TokenType::kUserDefined);
    EXPECT_EQ(view.type(26), TokenType::kUserDefined) << "added again";
    EXPECT_EQ(view.type(25), TokenType::kNormal);
    EXPECT_EQ(view.text(28), "[PAD28]");
    EXPECT_EQ(view.type(28), TokenType::kUnused);
    EXPECT_EQ(view.text(63), "[PAD63]");
    EXPECT_FALSE(view.has(text::kAddBos));
    EXPECT_FALSE(view.has(text::kAddEos));
    EXPECT_EQ(view.bos(), std::nullopt) << "none is named; the default of GGUF is not meant";
    EXPECT_EQ(view.eos(), std::nullopt);
    EXPECT_EQ(opened.encode("cab<tool>b"), (Ids{2, 26, 31, 1}));
}

TEST(HfTokenizer, MergesAsPairs) {
    Files files = byte_level_files();
    files.tokenizer["model"]["merges"] = json::parse(R"([["b", "c"], ["a", "b"]])");
    EXPECT_EQ(files.error(),
              "tokenizer.json: model.merges entry 0 needs the token 'bc', which model.vocab does "
              "not have");
    files.tokenizer["model"]["merges"] = json::parse(R"([["a", "b"], ["ab", "c"]])");
    EXPECT_EQ(open(files).encode("abc"), Ids{27});
}

TEST(HfTokenizer, IgnoreMergesIsWhatTheFileSays) {
    Files files = byte_level_files();
    files.tokenizer["pre_tokenizer"] =
        sequence("pretokenizers", {split(kLlama3), byte_level(false)});
    EXPECT_EQ(files.pre(), "dbrx");
    EXPECT_EQ(open(files).encode("abc"), (Ids{26, 2})) << "no merge makes abc";
    files.tokenizer["model"]["ignore_merges"] = true;
    EXPECT_EQ(files.pre(), "llama-bpe");
    EXPECT_EQ(open(files).encode("abc"), Ids{27});
    files.tokenizer["pre_tokenizer"] = byte_level(true);
    EXPECT_EQ(files.pre(), "gpt-2");
    EXPECT_EQ(open(files).encode("abc"), Ids{27}) << "not the default of gpt-2";
}

TEST(HfTokenizer, NfcIsWhatTheFileSays) {
    Files files = byte_level_files();
    EXPECT_FALSE(open(files).view().has(text::kNormaliseNfc));
    files.tokenizer["normalizer"] = {{"type", "NFC"}};
    EXPECT_TRUE(open(files).view().has(text::kNormaliseNfc));
    files.tokenizer["normalizer"] = sequence("normalizers", {{{"type", "Lowercase"}}});
    EXPECT_EQ(files.error(), "tokenizer.json: normalizer: 'Lowercase' is not one that can be done");
}

TEST(HfTokenizer, PreTokenizers) {
    const auto pre = [](const std::vector<json>& steps) {
        Files files = byte_level_files();
        files.tokenizer["pre_tokenizer"] = sequence("pretokenizers", steps);
        return files.pre();
    };
    const json punctuation = {{"type", "Punctuation"}, {"behavior", "Contiguous"}};
    const json runs = {{"type", "Digits"}, {"individual_digits", false}};
    const json each = {{"type", "Digits"}, {"individual_digits", true}};
    std::string qwen2 = kLlama3;
    qwen2.replace(qwen2.find("{1,3}"), 5, "");
    EXPECT_EQ(pre({split(qwen2), byte_level(false)}), "qwen2");
    EXPECT_EQ(pre({byte_level(true)}), "gpt-2");
    EXPECT_EQ(
        pre({split(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"),
             byte_level(false)}),
        "gpt-2");
    EXPECT_EQ(pre({each, byte_level(true)}), "starcoder");
    EXPECT_EQ(pre({punctuation, byte_level(true), runs, split("[0-9][0-9][0-9]")}), "falcon");
    EXPECT_EQ(pre({punctuation, byte_level(true), each}), "falcon_e");
    EXPECT_EQ(pre({split(R"([\r\n])"), split(R"(\s?\p{L}+)"), split(R"(\s?\p{P}+)"),
                   split("[一-龥ࠀ-一가-퟿]+"), each, byte_level(false)}),
              "deepseek-coder");
    EXPECT_EQ(
        pre({split(R"(\p{N}{1,3})"), split("[一-龥぀-ゟ゠-ヿ]+"),
             split(
                 R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re"),
             byte_level(false)}),
        "deepseek-v3");

    EXPECT_EQ(pre({split("[0-9]+x"), byte_level(false)}),
              "tokenizer.json: pre_tokenizer is none of the known ones: Split '[0-9]+x', "
              "ByteLevel");
    EXPECT_EQ(pre(std::vector<json>(10, byte_level(false))),
              "tokenizer.json: pre_tokenizer is none of the known ones: ByteLevel, ByteLevel, "
              "ByteLevel, ByteLevel, ByteLevel, ByteLevel, ByteLevel, ByteLevel and 2 more");
    EXPECT_EQ(pre({{{"type", "Whitespace"}}, byte_level(false)}),
              "tokenizer.json: pre_tokenizer: 'Whitespace' is not one that can be done");
    json prefix = byte_level(true);
    prefix["add_prefix_space"] = true;
    EXPECT_EQ(pre({prefix}), "tokenizer.json: pre_tokenizer: ByteLevel.add_prefix_space is true");
    json removed = split(kLlama3);
    removed["behavior"] = "Removed";
    EXPECT_NE(pre({removed, byte_level(false)}).find("behavior 'Removed'"), std::string::npos);
}

TEST(HfTokenizer, WhatStandsAroundAText) {
    Files files = byte_level_files();
    files.tokenizer["added_tokens"] = {added(30, "<s>", true), added(31, "</s>", true)};
    const json byte_level_processor = {{"type", "ByteLevel"}, {"trim_offsets", false}};
    files.tokenizer["post_processor"] = sequence(
        "processors", {byte_level_processor, with_template({{"<s>", 30}}, {{"</s>", 31}})});
    EXPECT_EQ(open(files).encode("a", {.add_special = true}), (Ids{30, 0, 31}));
    files.tokenizer["post_processor"] = with_template({}, {{"</s>", 31}});
    EXPECT_EQ(open(files).encode("a", {.add_special = true}), (Ids{0, 31}));
    files.tokenizer["post_processor"] = with_template({{"<s>", 30}, {"</s>", 31}}, {});
    EXPECT_NE(files.error().find("at most one special token on each side"), std::string::npos);
    files.tokenizer["post_processor"] = with_template({{"<s>", 64}}, {});
    EXPECT_EQ(files.error(), "tokenizer.json: post_processor: the id 64 is no token");
    files.tokenizer["post_processor"] = {{"type", "BertProcessing"}};
    EXPECT_EQ(files.error(),
              "tokenizer.json: post_processor: 'BertProcessing' is not one that can be done");
}

TEST(HfTokenizer, IdsByNameAndNumber) {
    Files files = byte_level_files();
    files.tokenizer["added_tokens"] = {added(30, "<s>", true), added(31, "</s>", true),
                                       added(32, "<turn>", true), added(33, "<pad>", true)};
    files.eos_ids = {31};
    EXPECT_EQ(open(files).view().eos(), 31u) << "config.json";
    files.generation = {{"bos_token_id", 29}, {"eos_token_id", {32, 31}}};
    Opened opened = open(files);
    EXPECT_EQ(opened.view().bos(), 29u);
    EXPECT_EQ(opened.view().eos(), 32u);
    EXPECT_TRUE(opened.view().is_end_of_generation(31));
    EXPECT_TRUE(opened.view().is_end_of_generation(32));
    files.config = {{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}};
    opened = open(files);
    EXPECT_EQ(opened.view().bos(), 30u);
    EXPECT_EQ(opened.view().eos(), 31u);
    EXPECT_TRUE(opened.view().is_end_of_generation(32));
    files.config["pad_token"] = "<pad>";
    gguf::Metadata keys;
    ASSERT_TRUE(files.keys(keys).ok());
    EXPECT_EQ(keys.integer("tokenizer.ggml.padding_token_id", 64).value(), 33u);
    files.generation["eos_token_id"] = 64;
    EXPECT_TRUE(files.error().starts_with("generation_config.json: eos_token_id"));
}

TEST(HfTokenizer, ChatTemplate) {
    Files files = byte_level_files();
    EXPECT_EQ(open(files).view().chat_template(), "");
    files.config = {{"chat_template",
                     {{{"name", "tool_use"}, {"template", "tools"}},
                      {{"name", "default"}, {"template", "plain"}}}}};
    EXPECT_EQ(open(files).view().chat_template(), "plain");
    files.chat_template = "{{ messages }}";
    EXPECT_EQ(open(files).view().chat_template(), "{{ messages }}");
}

TEST(HfTokenizer, Characters) {
    const Opened opened = open(character_files());
    const auto& view = opened.view();
    EXPECT_EQ(view.model(), text::VocabularyModel::kSpm);
    EXPECT_EQ(view.type(0), TokenType::kUnknown);
    EXPECT_EQ(view.type(1), TokenType::kControl);
    EXPECT_EQ(view.type(3), TokenType::kByte);
    EXPECT_EQ(view.type(258), TokenType::kByte);
    EXPECT_EQ(view.type(262), TokenType::kNormal);
    EXPECT_EQ(view.type(263), TokenType::kUnused);
    EXPECT_EQ(view.unknown(), 0u);
    EXPECT_TRUE(view.has(text::kAddBos));
    EXPECT_TRUE(view.has(text::kAddSpacePrefix));
    EXPECT_EQ(opened.encode("a b", {.add_special = true}), (Ids{1, 262, 259, 261}));
    EXPECT_EQ(opened.encode("\u00E9"), (Ids{259, 3 + 0xC3, 3 + 0xA9}));
}

TEST(HfTokenizer, CharactersWithoutPrefix) {
    Files files = character_files();
    const json replace = files.tokenizer["normalizer"]["normalizers"][1];
    files.tokenizer["normalizer"] = replace;
    files.tokenizer["pre_tokenizer"] = {{"type", "Split"},
                                        {"pattern", {{"String", " "}}},
                                        {"behavior", "MergedWithPrevious"},
                                        {"invert", false}};
    files.tokenizer["added_tokens"].push_back(added(263, kSpace + kSpace, false));
    const Opened gemma = open(files);
    EXPECT_EQ(gemma.encode("b a  b"), (Ids{261, 262, 263, 261})) << "found in raw text";
    EXPECT_EQ(gemma.view().text(263), "  ");
    files.tokenizer["normalizer"] = nullptr;
    EXPECT_NE(files.error().find("Split ' ' is not done together with byte_fallback"),
              std::string::npos);
    files.tokenizer["pre_tokenizer"] = {{"type", "Metaspace"},
                                        {"replacement", kSpace},
                                        {"prepend_scheme", "never"},
                                        {"split", false}};
    EXPECT_EQ(open(files).encode("b a"), (Ids{261, 262}));
    files.tokenizer["pre_tokenizer"]["prepend_scheme"] = "first";
    EXPECT_NE(files.error().find("Metaspace with prepend_scheme 'first'"), std::string::npos);
    files.tokenizer["pre_tokenizer"] = nullptr;
    EXPECT_EQ(files.error(),
              "tokenizer.json: neither normalizer nor pre_tokenizer makes spaces U+2581");
}

TEST(HfTokenizer, SettingsOfTheClass) {
    Files files = character_files();
    files.config = {{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", false}};
    EXPECT_FALSE(open(files).view().has(text::kAddBos));
    files.config["tokenizer_class"] = "PreTrainedTokenizerFast";
    EXPECT_TRUE(open(files).view().has(text::kAddBos)) << "only the file counts";
}

TEST(HfTokenizer, TokensBeyondTheModel) {
    Files files = byte_level_files();
    files.tokenizer["added_tokens"] = {added(64, "<image>", true)};
    EXPECT_EQ(open(files).view().token_count(), 64u) << "no row of the embedding: left out";
    files.tokenizer["model"]["vocab"]["zz"] = 64;
    EXPECT_EQ(
        files.error(),
        "tokenizer.json: model.vocab gives token 'zz' the id 64, but config.json's vocab_size "
        "is 64");
    files = byte_level_files();
    files.tokenizer["added_tokens"] = {added(3, "<x>", true)};
    EXPECT_EQ(files.error(),
              "tokenizer.json: added_tokens gives '<x>' the id 3, which is 'd' in model.vocab");
}

TEST(HfTokenizer, OtherModelsAreRefused) {
    const auto error_with = [](const char* name, const json& value) {
        Files files = byte_level_files();
        files.tokenizer["model"][name] = value;
        return files.error();
    };
    EXPECT_EQ(error_with("type", "WordPiece"),
              "tokenizer.json: model.type is 'WordPiece'; only 'BPE' can be read");
    EXPECT_NE(error_with("vocab", json::array({json::array({"a", -1.5})})).find("Unigram"),
              std::string::npos);
    EXPECT_EQ(error_with("end_of_word_suffix", "</w>"),
              "tokenizer.json: model.end_of_word_suffix is set");
    EXPECT_EQ(error_with("dropout", 0.1),
              "tokenizer.json: model.dropout is set: the same text would differ");
    EXPECT_EQ(error_with("end_of_word_suffix", ""), "");

    Files files = byte_level_files();
    files.tokenizer["pre_tokenizer"] = nullptr;
    EXPECT_NE(files.error().find("model.byte_fallback is not true"), std::string::npos);
    files = character_files();
    files.tokenizer["model"]["vocab"].erase("<0x41>");
    EXPECT_NE(files.error().find("<0x00> to <0xFF>; model.vocab has 255"), std::string::npos);
    files = character_files();
    files.tokenizer["model"]["ignore_merges"] = true;
    EXPECT_NE(files.error().find("ignore_merges is true together"), std::string::npos);
    files.tokenizer.erase("model");
    EXPECT_EQ(files.error(), "tokenizer.json: model.vocab is missing or empty");
}

}  // namespace
}  // namespace bitnetd::worker::test
