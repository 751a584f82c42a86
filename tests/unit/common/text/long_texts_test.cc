// Goal: no text is disproportionately slow: what a text costs grows with its bytes, or a little
// faster (a heap), never with their square. Method: merging counts the pairs it looks at, and a
// piece of n symbols may not look at more than 3 n, over runs, random letters and merge tables made
// to be bad. What nothing counts (patterns, special tokens) is given runs of 256 KiB, which a
// quadratic loop would not finish within the watchdog.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "common/text/bpe_merger.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/spm_merger.h"
#include "common/text/tokenizer.h"
#include "common/text/vocabulary_builder.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

std::string repeat(std::string_view unit, size_t bytes) {
    std::string text;
    while (text.size() < bytes)
        text += unit;
    return text;
}

std::vector<std::string> hostile_texts(size_t bytes) {
    std::vector<std::string> texts;
    for (const char* unit :
         {"a",      "A",          "aA",           "Aa",     " ",      "\n",     "\r\n",  " \n",
          "\t ",    "7",          "7a",           "!",      "'",      "'s",     "<|",    "$",
          "\u6771", "\U0001F642", "\u0301\u0316", "\u00A0", "\u2581", "\u01C5", "\u0660"}) {
        texts.push_back(repeat(unit, bytes));
    }
    texts.push_back(repeat(" ", bytes) + "\u6771");
    texts.push_back(repeat("\n", bytes) + "a");
    texts.push_back("a" + repeat(" ", bytes));
    texts.push_back(repeat("A", bytes) + "!");
    return texts;
}

class LongTexts : public ::testing::TestWithParam<const char*> {};

TEST_P(LongTexts, AreSplit) {
    const auto pre = PreTokenizer::create(GetParam());
    ASSERT_TRUE(pre.ok());
    for (const std::string& text : hostile_texts(256 << 10)) {
        const auto pieces = pre->split(text);
        ASSERT_TRUE(pieces.ok()) << text.substr(0, 8) << ": " << pieces.error().message;
        size_t bytes = 0;
        for (const std::string_view piece : *pieces)
            bytes += piece.size();
        EXPECT_EQ(bytes, text.size());
    }
}
INSTANTIATE_TEST_SUITE_P(PreTokenizer, LongTexts,
                         ::testing::Values("", "llama-bpe", "qwen2", "qwen35", "gpt-2", "starcoder",
                                           "falcon", "falcon_e", "deepseek-llm", "deepseek-coder",
                                           "deepseek-v3", "tekken", "gpt-4o", "bailingmoe", "bloom",
                                           "viking", "seed-coder"));

// A chain in which every join makes the next possible, from the left, and one that doubles.
VocabularyBuilder chain(bool doubling) {
    VocabularyBuilder builder;
    builder.tokens = {"a"};
    while (builder.tokens.back().size() < 1024) {
        const std::string left = builder.tokens.back();
        const std::string right = doubling ? left : "a";
        builder.merges.emplace_back(left, right);
        builder.tokens.push_back(left + right);
    }
    return builder;
}

// Longer tokens first: each join takes the place of the pairs around it.
VocabularyBuilder reversed(VocabularyBuilder builder) {
    std::reverse(builder.merges.begin(), builder.merges.end());
    return builder;
}

TEST(MergeWork, OfBytePairsIsBoundedByThePiece) {
    constexpr size_t kBytes = 1 << 18;
    for (const VocabularyBuilder& builder :
         {chain(false), chain(true), reversed(chain(false)), reversed(chain(true))}) {
        const auto image = builder.build();
        ASSERT_TRUE(image.ok()) << image.error().message;
        BpeMerger merger(VocabularyView::open(*image).value());
        std::vector<uint32_t> ids;
        merger.encode(std::string(kBytes, 'a'), ids);
        EXPECT_GT(merger.work(), kBytes / 2) << "nothing was counted";
        EXPECT_LE(merger.work(), 3 * kBytes);
    }
}

TEST(MergeWork, OfScoresIsBoundedByTheText) {
    constexpr size_t kBytes = 1 << 18;
    for (VocabularyBuilder builder : {chain(false), chain(true)}) {
        builder.model = VocabularyModel::kSpm;
        for (const float sign : {1.0f, -1.0f}) {
            builder.scores.clear();
            for (size_t i = 0; i < builder.tokens.size(); ++i)
                builder.scores.push_back(sign * static_cast<float>(i));
            const auto image = builder.build();
            ASSERT_TRUE(image.ok()) << image.error().message;
            SpmMerger merger(VocabularyView::open(*image).value());
            std::vector<uint32_t> ids;
            merger.encode(std::string(kBytes, 'a'), ids);
            EXPECT_GT(merger.work(), kBytes / 2) << "nothing was counted";
            EXPECT_LE(merger.work(), 3 * kBytes);
        }
    }
}

TEST(MergeWork, OfARealVocabularyIsBoundedByTheText) {
    const auto image =
        tests::vocabulary_image(tests::golden_path("tokenizers/vocab/own-llama-bpe.gguf"));
    ASSERT_TRUE(image.ok()) << image.error().message;
    std::mt19937 random(7);
    std::string letters(1 << 18, ' ');
    for (char& c : letters)
        c = static_cast<char>('a' + random() % 26);
    std::vector<std::string> texts = hostile_texts(1 << 18);
    texts.push_back(letters);
    for (const std::string& text : texts) {
        BpeMerger merger(VocabularyView::open(*image).value());
        std::vector<uint32_t> ids;
        merger.encode(text, ids);
        EXPECT_LE(merger.work(), 3 * text.size()) << text.substr(0, 8);
    }
}

// All of it together.
TEST(LongTextsTogether, AreEncoded) {
    const auto image =
        tests::vocabulary_image(tests::golden_path("tokenizers/vocab/own-llama-bpe.gguf"));
    ASSERT_TRUE(image.ok()) << image.error().message;
    const auto tokenizer = Tokenizer::create(VocabularyView::open(*image).value());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    for (const std::string& text : hostile_texts(256 << 10)) {
        const auto ids = tokenizer->encode(text, {.parse_special = true});
        ASSERT_TRUE(ids.ok()) << ids.error().message;
        std::string decoded;
        for (const uint32_t id : *ids)
            decoded += tokenizer->vocabulary().bytes(id);
        EXPECT_TRUE(decoded == text) << text.substr(0, 8);
    }
}

}  // namespace
}  // namespace bitnetd::text
