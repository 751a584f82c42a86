// Goal: special tokens are cut out as tokenizers.md section 5 defines it, in time that does not
// depend on how many there are. Method: random vocabularies of overlapping tokens over two letters
// against the definition carried out step by step; a text that holds thousands of distinct tokens,
// which one pass per token would not finish within the watchdog. Prints its seed.
#include "common/text/special_tokens.h"

#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "common/text/vocabulary_builder.h"

namespace bitnetd::text {
namespace {

// Where each fragment lies, and what it is.
std::vector<std::tuple<const char*, size_t, uint32_t>> places(
    const std::vector<Fragment>& fragments) {
    std::vector<std::tuple<const char*, size_t, uint32_t>> out;
    for (const Fragment& fragment : fragments)
        out.emplace_back(fragment.text.data(), fragment.text.size(), fragment.id);
    return out;
}

VocabularyBuilder builder_of(const std::vector<std::pair<std::string, TokenType>>& tokens) {
    VocabularyBuilder builder;
    builder.model = VocabularyModel::kSpm;
    for (const auto& [text, type] : tokens) {
        builder.tokens.push_back(text);
        builder.types.push_back(type);
        builder.scores.push_back(0);
    }
    return builder;
}

// The definition: special after special, each over the fragments that are left.
std::vector<Fragment> split_as_defined(const VocabularyView& vocabulary, std::string_view text,
                                       bool parse_special, const MarkedText* marks) {
    std::vector<Fragment> fragments, next;
    if (!text.empty()) fragments.push_back({text, kNoId});
    for (const uint32_t id : vocabulary.specials()) {
        const bool user_defined = vocabulary.type(id) == TokenType::kUserDefined;
        if (!user_defined && !parse_special) continue;
        const std::string_view special = vocabulary.text(id);
        next.clear();
        for (const Fragment& fragment : fragments) {
            if (fragment.id != kNoId) {
                next.push_back(fragment);
                continue;
            }
            size_t done = 0;
            for (size_t at = fragment.text.find(special); at != std::string_view::npos;) {
                const auto begin = static_cast<size_t>(fragment.text.data() - text.data()) + at;
                if (!user_defined && marks != nullptr &&
                    !marks->trusted(begin, begin + special.size())) {
                    at = fragment.text.find(special, at + 1);
                    continue;
                }
                if (at > done) next.push_back({fragment.text.substr(done, at - done), kNoId});
                next.push_back({fragment.text.substr(at, special.size()), id});
                done = at + special.size();
                at = fragment.text.find(special, done);
            }
            if (done < fragment.text.size()) next.push_back({fragment.text.substr(done), kNoId});
        }
        fragments.swap(next);
    }
    return fragments;
}

std::string random_text(std::mt19937& random, size_t bytes) {
    std::string text(bytes, 'a');
    for (char& c : text)
        c = random() % 3 == 0 ? 'b' : 'a';
    return text;
}

TEST(SpecialTokens, AreCutAsDefined) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr TokenType kTypes[] = {TokenType::kControl, TokenType::kUserDefined,
                                    TokenType::kUnknown, TokenType::kNormal};
    const MarkedText* const none = nullptr;
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::pair<std::string, TokenType>> tokens;
        for (unsigned i = 0; i < 1 + random() % 8; ++i)
            tokens.emplace_back(random_text(random, 1 + random() % 5), kTypes[random() % 4]);
        const auto image = builder_of(tokens).build();
        ASSERT_TRUE(image.ok()) << image.error().message;
        const auto vocabulary = VocabularyView::open(*image).value();
        const SpecialTokens specials(vocabulary);
        MarkedText prompt;
        for (unsigned i = 0; i < 1 + random() % 4; ++i)
            prompt.append(random_text(random, random() % 12), random() % 2 == 0);
        for (const bool parse_special : {false, true}) {
            for (const MarkedText* marks : {none, static_cast<const MarkedText*>(&prompt)}) {
                ASSERT_EQ(places(specials.split(prompt.str(), parse_special, marks)),
                          places(split_as_defined(vocabulary, prompt.str(), parse_special, marks)))
                    << prompt.str();
            }
        }
    }
}

TEST(SpecialTokens, ManyAtOnceCostNoMoreThanOne) {
    std::vector<std::pair<std::string, TokenType>> tokens;
    std::string text;
    constexpr size_t kTokens = 20'000;
    for (size_t i = 0; i < kTokens; ++i) {
        tokens.emplace_back("<unused" + std::to_string(i) + ">", TokenType::kUserDefined);
        text += tokens.back().first + "<<";
    }
    const size_t bytes = text.size();
    while (text.size() < 8 * bytes)
        text += "<unused<";
    const auto image = builder_of(tokens).build();
    ASSERT_TRUE(image.ok()) << image.error().message;
    const auto vocabulary = VocabularyView::open(*image).value();
    const auto fragments = SpecialTokens(vocabulary).split(text, false, nullptr);
    EXPECT_EQ(fragments.size(), 2 * kTokens);
}

TEST(SpecialTokens, RunsOfSpacesNestWithoutCost) {
    std::vector<std::pair<std::string, TokenType>> tokens;
    for (size_t i = 1; i <= 31; ++i)
        tokens.emplace_back(std::string(i, ' '), TokenType::kUserDefined);
    const auto image = builder_of(tokens).build();
    ASSERT_TRUE(image.ok()) << image.error().message;
    const auto vocabulary = VocabularyView::open(*image).value();
    const std::string text((31 << 15) + 5, ' ');
    const auto fragments = SpecialTokens(vocabulary).split(text, false, nullptr);
    ASSERT_EQ(fragments.size(), (1u << 15) + 1);
    EXPECT_EQ(fragments.front().id, 30u);
    EXPECT_EQ(fragments.back().id, 4u);
}

}  // namespace
}  // namespace bitnetd::text
