// Goal: tokenizer.json is taken apart as it is, and whatever a lenient reader would let pass is
// refused with the place. Method: small texts, right and wrong.
#include <gtest/gtest.h>

#include "common/safetensors/tokenizer_json.h"

namespace bitnetd::safetensors {
namespace {

// A file with `model` put into its model object, and `top` behind it.
std::string file(const std::string& model, const std::string& top = "") {
    return R"({"version": "1.0", "model": {)" + model + "}" + top + "}";
}
std::string error_of(const std::string& text) {
    const auto parsed = parse_tokenizer_json(text);
    return parsed.ok() ? "" : parsed.error().message;
}

TEST(TokenizerJson, IsTakenApart) {
    const auto parsed = parse_tokenizer_json(
        file(R"("type": "BPE", "vocab": {"b": 1, "a": 0, "ab": 7}, "merges": ["a b", ["x y", "z"]],
                "byte_fallback": true, "dropout": null)",
             R"(, "normalizer": null, "decoder": {"type": "ByteLevel"}, "padding": {"x": [1, {}]},
                "added_tokens": [{"id": 9, "content": "<s>", "special": true, "rstrip": true},
                                 {"id": 8, "content": "u", "single_word": true}])"));
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    using Entry = std::pair<std::string, uint32_t>;
    EXPECT_EQ(parsed->vocabulary, (std::vector<Entry>{{"a", 0}, {"ab", 7}, {"b", 1}}));
    using Merge = std::pair<std::string, std::string>;
    EXPECT_EQ(parsed->merges, (std::vector<Merge>{{"a", "b"}, {"x y", "z"}}));
    EXPECT_EQ(parsed->model["type"], "BPE");
    EXPECT_EQ(parsed->model["byte_fallback"], true);
    EXPECT_TRUE(parsed->normalizer.is_null());
    EXPECT_TRUE(parsed->pre_tokenizer.is_null());
    EXPECT_EQ(parsed->decoder["type"], "ByteLevel");
    ASSERT_EQ(parsed->added.size(), 2u);
    EXPECT_EQ(parsed->added[0].id, 9u);
    EXPECT_EQ(parsed->added[0].text, "<s>");
    EXPECT_TRUE(parsed->added[0].special && parsed->added[0].strips);
    EXPECT_FALSE(parsed->added[1].special || parsed->added[1].strips);
    EXPECT_TRUE(parsed->added[1].single_word);
}

TEST(TokenizerJson, OldMergeFilesHaveAVersion) {
    const auto parsed =
        parse_tokenizer_json(file(R"("vocab": {"a": 0}, "merges": ["#version: 0.2", "a a"])"));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->merges.size(), 1u);
}

TEST(TokenizerJson, WrongVocabulariesAreRefused) {
    EXPECT_EQ(error_of(file("")), "model.vocab is missing or empty");
    EXPECT_EQ(error_of(file(R"("vocab": {"a": 0, "a": 1})")), "model.vocab has token 'a' twice");
    EXPECT_EQ(error_of(file(R"("vocab": {"a": 4, "b": 4})")),
              "model.vocab gives the id 4 to 'a' and to 'b'");
    EXPECT_EQ(error_of(file(R"("vocab": {"a": 1048576})")),
              "model.vocab gives token 'a' the id 1048576; expected one below 1048576");
    for (const char* const id : {"-1", "1.0", "\"1\"", "null", "[1]", "{}", "true"}) {
        EXPECT_TRUE(error_of(file(std::string(R"("vocab": {"a": )") + id + "}"))
                        .starts_with("model.vocab: expected the id of token 'a'"))
            << id;
    }
    EXPECT_EQ(error_of(file(R"("vocab": "a")")), "model.vocab: expected an object, found string");
    EXPECT_NE(error_of(file(R"("vocab": [["a", -1.5]])")).find("Unigram"), std::string::npos);
    EXPECT_EQ(error_of(file(R"("vocab": {"a": 0}, "vocab": {"b": 0})")),
              "it repeats the key 'vocab'");
    EXPECT_EQ(error_of(file("\"vocab\": {\"" + std::string(4097, 'x') + "\": 0}")),
              "model.vocab holds a text of more than 4096 bytes");
}

TEST(TokenizerJson, WrongMergesAreRefused) {
    for (const char* const merge : {"\"ab\"", "\" b\"", "\"a \"", "\"a b c\"", "[\"a\"]",
                                    "[\"a\", \"b\", \"c\"]", "[\"\", \"b\"]", "[]"}) {
        const std::string error =
            error_of(file(std::string(R"("vocab": {"a": 0}, "merges": ["a b", )") + merge + "]"));
        EXPECT_EQ(error, "model.merges entry 1: expected \"left right\" or [\"left\", \"right\"]")
            << merge;
    }
    for (const char* const merge : {"1", "null", "{}", "[[\"a\"]]", "[1, 2]"}) {
        EXPECT_TRUE(error_of(file(std::string(R"("vocab": {"a": 0}, "merges": [)") + merge + "]"))
                        .starts_with("model.merges: expected a list of texts"))
            << merge;
    }
}

TEST(TokenizerJson, MergesAreAList) {
    for (const char* const merges : {"1", "null", "{}", "\"a b\""}) {
        EXPECT_TRUE(error_of(file(std::string(R"("vocab": {"a": 0}, "merges": )") + merges))
                        .starts_with("model.merges: expected a list of texts"))
            << merges;
    }
}

TEST(TokenizerJson, WrongAddedTokensAreRefused) {
    const auto error_with = [](const std::string& list) {
        return error_of(file(R"("vocab": {"a": 0})", ", \"added_tokens\": " + list));
    };
    EXPECT_EQ(error_with("{}"), "added_tokens: expected an array");
    EXPECT_EQ(error_with("[1]"), "added_tokens: expected objects");
    EXPECT_EQ(error_with(R"([{"content": "x"}])"),
              "added_tokens[].id: expected an integer, found nothing");
    EXPECT_TRUE(error_with(R"([{"id": 1}])").starts_with("added_tokens[].content: expected"));
    EXPECT_EQ(error_with(R"([{"id": 1, "content": "x"}, {"id": 1, "content": "y"}])"),
              "added_tokens has the id 1 twice");
}

TEST(TokenizerJson, TheFileIsStrictJson) {
    const std::string good = file(R"("vocab": {"a": 0})");
    EXPECT_EQ(error_of(good), "");
    EXPECT_TRUE(error_of(good + "x").starts_with("it is not JSON at byte"));
    EXPECT_TRUE(error_of(good.substr(0, good.size() - 1)).starts_with("it is not JSON at byte"));
    EXPECT_EQ(error_of(good + std::string(1, '\0')), "it holds a NUL");
    EXPECT_EQ(error_of("[]"), "it is not one JSON object");
    EXPECT_EQ(error_of("7"), "it is not one JSON object");
    EXPECT_EQ(error_of(""), "it is not JSON at byte 1");
    EXPECT_EQ(error_of(R"({"x": {"a": 1, "a": 2}})"), "it repeats the key 'a'");
    EXPECT_EQ(error_of(file(R"("vocab": {"a": 0})", R"(, "decoder": [])")),
              "decoder: expected an object");
    std::string deep = R"({"x": )";
    for (int i = 0; i < 100'000; ++i)
        deep += "[";
    EXPECT_EQ(error_of(deep), "it is nested deeper than 32");
}

TEST(TokenizerJson, TheTreeIsBounded) {
    std::string text = R"({"x": [0)";
    for (size_t i = 0; i < kTreeValuesMax; ++i)
        text += ",0";
    EXPECT_EQ(error_of(text + "]}"), "it has more than 1048576 entries");
    EXPECT_EQ(error_of(std::string(kTokenizerBytesMax + 1, ' ')),
              "it has 67108865 bytes; at most 67108864 are read");
}

}  // namespace
}  // namespace bitnetd::safetensors
