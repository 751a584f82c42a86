// Goal: text becomes the ids that other engines make of it, in all four settings, and comes back as
// the same bytes. Method: golden ids of real vocabularies, read through the GGUF reader and the
// vocabulary image, as in production.
#include <gtest/gtest.h>

#include "common/text/detokenizer.h"
#include "common/text/tokenizer.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

using nlohmann::ordered_json;
using Ids = std::vector<uint32_t>;

std::string bytes_of(const ordered_json& entry) {
    if (entry.contains("text")) return entry["text"].get<std::string>();
    const auto bytes = tests::from_hex(entry["bytes_hex"].get<std::string>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void check_text(const Tokenizer& tokenizer, const ordered_json& entry) {
    const std::string text = bytes_of(entry);
    SCOPED_TRACE(entry.dump(-1, ' ', false, ordered_json::error_handler_t::replace).substr(0, 200));
    const std::pair<const char*, EncodeOptions> settings[] = {
        {"ids", {}},
        {"ids_add_special", {.add_special = true}},
        {"ids_parse_special", {.parse_special = true}},
        {"ids_add_and_parse_special", {.add_special = true, .parse_special = true}},
    };
    for (const auto& [name, options] : settings) {
        if (!entry.contains(name)) continue;
        const auto ids = tokenizer.encode(text, options);
        ASSERT_TRUE(ids.ok()) << ids.error().message;
        EXPECT_EQ(*ids, entry[name].get<Ids>()) << name;
    }
    if (!entry.contains("decoded")) return;
    const Detokenizer detokenizer(tokenizer.vocabulary());
    std::string decoded;
    for (const uint32_t id : entry["ids"].get<Ids>())
        decoded += detokenizer.bytes(id);
    EXPECT_EQ(decoded, bytes_of(entry["decoded"]));
}

void check_vocabulary(const std::filesystem::path& path) {
    SCOPED_TRACE(path.string());
    const ordered_json golden = tests::read_ordered_json(path);
    const auto image =
        tests::vocabulary_image(path.parent_path() / golden["vocabulary"].get<std::string>());
    ASSERT_TRUE(image.ok()) << image.error().message;
    const auto view = VocabularyView::open(*image);
    ASSERT_TRUE(view.ok()) << view.error().message;
    EXPECT_EQ(view->token_count(), golden["tokens"].get<uint32_t>());
    EXPECT_EQ(view->has(kAddBos), golden["add_bos"].get<bool>());
    EXPECT_EQ(view->has(kAddEos), golden["add_eos"].get<bool>());
    EXPECT_EQ(view->bos(), golden["bos"].get<uint32_t>());
    EXPECT_EQ(view->eos(), golden["eos"].get<uint32_t>());
    const auto tokenizer = Tokenizer::create(*view);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    for (const auto& entry : golden["texts"])
        check_text(*tokenizer, entry);
    if (golden.contains("published")) {
        for (const auto& entry : golden["published"])
            check_text(*tokenizer, entry);
    }
}

TEST(TokenizerGolden, OwnVocabularies) {
    size_t files = 0;
    for (const auto& path : tests::json_files(tests::golden_path("tokenizers"))) {
        check_vocabulary(path);
        ++files;
    }
    EXPECT_EQ(files, 2u);
}

TEST(TokenizerGoldenFull, AllVocabularies) {
    const auto folder = tests::large_golden_path("tokenizers");
    if (!is_directory(folder)) GTEST_SKIP() << tests::kNoLargeGolden;
    size_t files = 0;
    for (const auto& path : tests::json_files(folder)) {
        check_vocabulary(path);
        ++files;
    }
    EXPECT_GE(files, 6u);
}

// Every vocabulary opens, those without golden ids too, and text comes back from them.
TEST(TokenizerGoldenFull, EveryVocabularyRoundTrips) {
    const auto folder = tests::large_golden_path("tokenizers/vocab");
    if (!is_directory(folder)) GTEST_SKIP() << tests::kNoLargeGolden;
    const std::string text =
        "It's 1234.5 o'clock,  caf\u00E9 \u6771\u4EAC \U0001F642\n\n\tx_1 = {};\n";
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        SCOPED_TRACE(entry.path().string());
        const auto image = tests::vocabulary_image(entry.path());
        ASSERT_TRUE(image.ok()) << image.error().message;
        const auto view = VocabularyView::open(*image);
        ASSERT_TRUE(view.ok()) << view.error().message;
        const auto tokenizer = Tokenizer::create(*view);
        ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
        const auto ids = tokenizer->encode(text, {});
        ASSERT_TRUE(ids.ok()) << ids.error().message;
        Detokenizer detokenizer(*view, {.strip_leading_space = view->has(kAddSpacePrefix)});
        std::string decoded;
        for (const uint32_t id : *ids)
            detokenizer.push(id, decoded);
        detokenizer.flush(decoded);
        EXPECT_EQ(decoded, text);
        ++files;
    }
    EXPECT_GE(files, 7u);
}

}  // namespace
}  // namespace bitnetd::text
