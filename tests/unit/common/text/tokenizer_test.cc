// Goal: merging is the definition of tokenizers.md 3.3 and 4, only faster; text survives the round
// trip. Method: random texts against a naive merger. Prints its seed.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "common/text/bpe_merger.h"
#include "common/text/detokenizer.h"
#include "common/text/pre_tokenizer.h"
#include "common/text/tokenizer.h"
#include "common/text/vocabulary_builder.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

using Ids = std::vector<uint32_t>;

// A vocabulary over a, b, c whose merges are random; every merged text is a token.
VocabularyBuilder random_bpe(std::mt19937& random) {
    VocabularyBuilder builder;
    builder.tokens = {"a", "b", "c"};
    for (int i = 0; i < 40; ++i) {
        const std::string left = builder.tokens[random() % builder.tokens.size()];
        const std::string right = builder.tokens[random() % builder.tokens.size()];
        if (left.size() + right.size() > 12) continue;
        builder.merges.emplace_back(left, right);
        builder.tokens.push_back(left + right);
    }
    builder.merges.emplace_back("a", "b");
    builder.tokens.push_back("ab");
    return builder;
}

// The definition, step by step.
Ids naive_bpe(const VocabularyBuilder& builder, const std::string& text) {
    std::map<std::pair<std::string, std::string>, size_t> ranks;
    std::map<std::string, uint32_t> ids;
    for (size_t i = 0; i < builder.merges.size(); ++i)
        ranks.emplace(builder.merges[i], i);
    for (uint32_t i = 0; i < builder.tokens.size(); ++i)
        ids.emplace(builder.tokens[i], i);
    std::vector<std::string> symbols;
    for (const char c : text)
        symbols.emplace_back(1, c);
    while (true) {
        size_t best = std::string::npos, best_rank = std::string::npos;
        for (size_t i = 0; i + 1 < symbols.size(); ++i) {
            const auto found = ranks.find({symbols[i], symbols[i + 1]});
            if (found != ranks.end() && found->second < best_rank) {
                best = i;
                best_rank = found->second;
            }
        }
        if (best == std::string::npos) break;
        symbols[best] += symbols[best + 1];
        symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
    }
    Ids out;
    for (const std::string& symbol : symbols)
        out.push_back(ids.at(symbol));
    return out;
}

TEST(BpeMerger, MergesAsDefined) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 300; ++round) {
        const VocabularyBuilder builder = random_bpe(random);
        const auto image = builder.build();
        ASSERT_TRUE(image.ok()) << image.error().message;
        BpeMerger merger(VocabularyView::open(*image).value());
        for (int i = 0; i < 20; ++i) {
            std::string text(1 + random() % 40, 'a');
            for (char& c : text)
                c = "abc"[random() % 3];
            Ids ids;
            merger.encode(text, ids);
            ASSERT_EQ(ids, naive_bpe(builder, text)) << text;
        }
    }
}

TEST(BpeMerger, ASymbolThatIsNoTokenBecomesItsBytes) {
    VocabularyBuilder builder;
    builder.tokens = {"a", "b", "abb"};
    ASSERT_TRUE(builder.add_merge("a b"));  // "ab" is no token
    ASSERT_TRUE(builder.add_merge("ab b"));
    const auto image = builder.build();
    ASSERT_TRUE(image.ok());
    BpeMerger merger(VocabularyView::open(*image).value());
    Ids ids;
    merger.encode("abb", ids);
    merger.encode("abzab", ids);  // z has no token and is dropped
    EXPECT_EQ(ids, (Ids{2, 0, 1, 0, 1}));
}

TEST(PreTokenizer, SplitsTheWorkedExample) {
    const auto pre = PreTokenizer::create("llama-bpe");
    ASSERT_TRUE(pre.ok()) << pre.error().message;
    const auto pieces = pre->split("I'll pay  1234.50\n\n  ok");
    ASSERT_TRUE(pieces.ok());
    const std::vector<std::string_view> expected = {"I", "'ll", " pay", " ",    " ", "123",
                                                    "4", ".",   "50",   "\n\n", " ", " ok"};
    EXPECT_EQ(*pieces, expected);
}

TEST(PreTokenizer, CaseOfContractionsIsAscii) {
    const auto pre = PreTokenizer::create("llama-bpe");
    ASSERT_TRUE(pre.ok());
    const auto pieces = pre->split("I'LL it'\u017F");  // U+017F is no S here
    ASSERT_TRUE(pieces.ok());
    const std::vector<std::string_view> expected = {"I", "'LL", " it", "'\u017F"};
    EXPECT_EQ(*pieces, expected);
}

TEST(PreTokenizer, WhiteSpaceIsUnicodes) {
    const auto pre = PreTokenizer::create("gpt-2");
    ASSERT_TRUE(pre.ok());
    // U+180E is no white space any more: it joins what is neither space, letter nor number.
    const auto pieces = pre->split("a\u180E\u00A0\u2003b");
    ASSERT_TRUE(pieces.ok());
    const std::vector<std::string_view> expected = {"a", "\u180E", "\u00A0", "\u2003", "b"};
    EXPECT_EQ(*pieces, expected);
}

TEST(PreTokenizer, EveryRowCompilesAndKeepsTheText) {
    const std::string text =
        "It's 12345 o'clock\tIN \u6771\u4EAC, caf\u00E9\u0301!  \n\n $$ x_1 -> \U0001F642 "
        "\u1E9E\u01C5 ";
    for (const char* name :
         {"", "default", "llama-bpe", "glm4", "qwen2", "qwen35", "gpt-2", "starcoder", "falcon",
          "falcon_e", "deepseek-llm", "deepseek-coder", "deepseek-v3", "tekken", "gpt-4o",
          "bailingmoe", "bloom", "viking", "seed-coder"}) {
        const auto pre = PreTokenizer::create(name);
        ASSERT_TRUE(pre.ok()) << name << ": " << pre.error().message;
        const auto pieces = pre->split(text);
        ASSERT_TRUE(pieces.ok()) << name;
        std::string joined;
        for (const std::string_view piece : *pieces) {
            EXPECT_FALSE(piece.empty()) << name;
            joined += piece;
        }
        EXPECT_EQ(joined, text) << name;
        EXPECT_GT(pieces->size(), 5u) << name;
    }
    EXPECT_FALSE(PreTokenizer::create("kimi-k2").ok());
}

class OwnVocabulary : public ::testing::Test {
  protected:
    void SetUp() override {
        auto image =
            tests::vocabulary_image(tests::golden_path("tokenizers/vocab/own-llama-bpe.gguf"));
        ASSERT_TRUE(image.ok()) << image.error().message;
        image_ = std::move(*image);
        auto tokenizer = Tokenizer::create(VocabularyView::open(image_).value(), 2u << 20);
        ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
        tokenizer_.emplace(std::move(*tokenizer));
    }
    std::string decode(const Ids& ids) const {
        Detokenizer detokenizer(tokenizer_->vocabulary(), {.print_special = true});
        std::string out;
        for (const uint32_t id : ids)
            detokenizer.push(id, out);
        detokenizer.flush(out);
        return out;
    }
    std::vector<std::byte> image_;
    std::optional<Tokenizer> tokenizer_;
};

TEST_F(OwnVocabulary, RandomTextSurvivesTheRoundTrip) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::vector<std::string> parts = {"the ", "He", "'ll", " ",    "  ",   "\n",
                                            "1",    "42", "é",   "日本", "🙂", "\u0301",
                                            "!",    "_",  "\t",  "<|"};
    for (int round = 0; round < 2'000; ++round) {
        std::string text;
        for (unsigned i = 0; i < random() % 20; ++i)
            text += parts[random() % parts.size()];
        for (const bool parse_special : {false, true}) {
            const auto ids = tokenizer_->encode(text, {.parse_special = parse_special});
            ASSERT_TRUE(ids.ok()) << ids.error().message;
            ASSERT_EQ(decode(*ids), text);
        }
    }
}

TEST_F(OwnVocabulary, TextBeyondTheBoundIsRefused) {
    const auto ids = tokenizer_->encode(std::string((2u << 20) + 1, 'a'), {});
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.error().code, ErrorCode::kExhausted);
}

}  // namespace
}  // namespace bitnetd::text
