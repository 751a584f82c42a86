// Goal: a vocabulary with a merge list and byte fallback, read as one with scores, makes the same
// ids as merging by the list. Method: vocabularies trained here on random words; random texts,
// characters outside the vocabulary among them; the reference merges naively by rank. Seeds are
// fixed and printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "common/text/tokenizer.h"
#include "common/text/utf8.h"
#include "tests/unit/worker/prepare/hf_checkpoint.h"
#include "worker/prepare/hf_merge_scores.h"
#include "worker/prepare/hf_tokenizer.h"
#include "worker/prepare/vocabulary_from_gguf.h"

namespace bitnetd::worker::test {
namespace {

using nlohmann::json;
using Symbols = std::vector<std::string>;
using Pair = std::pair<std::string, std::string>;
using Random = std::mt19937_64;

const std::string kSpace = "\u2581";
const Symbols kAlphabet = {"a", "b", "c", "d", "e", "\u00E9", "\u4E2D", kSpace};

Symbols characters(const std::string& text) {
    Symbols out;
    for (const char c : text) {
        if ((static_cast<unsigned char>(c) & 0xC0) == 0x80)
            out.back() += c;
        else
            out.emplace_back(1, c);
    }
    return out;
}

// Joins every occurrence of `pair`, left to right.
void join(Symbols& symbols, const Pair& pair) {
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        if (symbols[i] != pair.first || symbols[i + 1] != pair.second) continue;
        symbols[i] += symbols[i + 1];
        symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
    }
}

// Words with the space in front; few different ones, so that long tokens are learned.
std::vector<Symbols> random_words(Random& random) {
    std::vector<Symbols> words;
    for (int i = 0; i < 60; ++i) {
        std::string word = kSpace;
        for (size_t length = 1 + random() % 7; length > 0; --length)
            word += kAlphabet[random() % (kAlphabet.size() - 1)];
        words.push_back(characters(word));
    }
    return words;
}

std::vector<Pair> train(Random& random, size_t count) {
    std::vector<Symbols> words = random_words(random);
    std::vector<Pair> merges;
    while (merges.size() < count) {
        std::map<Pair, size_t> pairs;
        for (const Symbols& word : words) {
            for (size_t i = 0; i + 1 < word.size(); ++i)
                ++pairs[{word[i], word[i + 1]}];
        }
        if (pairs.empty()) break;
        const auto best =
            std::max_element(pairs.begin(), pairs.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; });
        merges.push_back(best->first);
        for (Symbols& word : words)
            join(word, merges.back());
    }
    return merges;
}

// tokenizer.json of the merges, as Llama 2's is.
struct Trained {
    std::map<std::string, uint32_t> vocabulary;
    std::vector<Pair> merges;

    explicit Trained(std::vector<Pair> list) : merges(std::move(list)) {
        add("<unk>");
        constexpr char kHex[] = "0123456789ABCDEF";
        for (int byte = 0; byte < 256; ++byte)
            add(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
        for (const std::string& character : kAlphabet)
            add(character);
        for (const auto& [left, right] : merges)
            add(left + right);
    }
    void add(const std::string& text) {
        vocabulary.emplace(text, static_cast<uint32_t>(vocabulary.size()));
    }

    json tokenizer_json() const {
        json list = json::array();
        for (const auto& [left, right] : merges)
            list.push_back({left, right});
        const json space = {{"String", " "}};
        return {{"normalizer",
                 {{"type", "Sequence"},
                  {"normalizers",
                   {{{"type", "Prepend"}, {"prepend", kSpace}},
                    {{"type", "Replace"}, {"pattern", space}, {"content", kSpace}}}}}},
                {"model",
                 {{"type", "BPE"},
                  {"unk_token", "<unk>"},
                  {"byte_fallback", true},
                  {"vocab", vocabulary},
                  {"merges", list}}}};
    }

    // By definition: the pair of lowest rank, leftmost of equals, until none is in the list.
    std::vector<uint32_t> encode(const std::string& text) const {
        Symbols symbols = characters(text);
        for (;;) {
            size_t best_rank = merges.size();
            size_t best = 0;
            for (size_t i = 0; i + 1 < symbols.size(); ++i) {
                const auto at = std::find(merges.begin(), merges.begin() + best_rank,
                                          Pair(symbols[i], symbols[i + 1]));
                const auto rank = static_cast<size_t>(at - merges.begin());
                if (rank >= best_rank) continue;
                best_rank = rank;
                best = i;
            }
            if (best_rank == merges.size()) break;
            symbols[best] += symbols[best + 1];
            symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
        }
        std::vector<uint32_t> ids;
        for (const std::string& symbol : symbols) {
            const auto at = vocabulary.find(symbol);
            if (at != vocabulary.end()) {
                ids.push_back(at->second);
                continue;
            }
            for (const char byte : symbol)
                ids.push_back(1 + static_cast<unsigned char>(byte));
        }
        return ids;
    }
};

std::string random_text(Random& random) {
    const Symbols others = {" ", " ", "z", "\u20AC", "\n"};
    std::string text;
    for (size_t length = random() % 40; length > 0; --length) {
        const size_t pick = random() % 24;
        text += pick < others.size() ? others[pick] : kAlphabet[pick % (kAlphabet.size() - 1)];
    }
    return text;
}

std::string with_marks(const std::string& text) {
    std::string out = text.empty() ? "" : kSpace;
    for (const char c : text)
        out += c == ' ' ? kSpace : std::string(1, c);
    return out;
}

TEST(HfMergeScores, MergeAsTheListDoes) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Random random(seed);
        const Trained trained(train(random, 20 + random() % 100));
        safetensors::ModelConfig config;
        config.vocab_size = trained.vocabulary.size();
        gguf::Metadata keys;
        const auto added =
            add_tokenizer_keys({trained.tokenizer_json().dump(), {}, {}, {}}, config, keys);
        ASSERT_TRUE(added.ok()) << added.error().message;
        const auto image = vocabulary_from_gguf(keys);
        ASSERT_TRUE(image.ok()) << image.error().message;
        const auto tokenizer =
            text::Tokenizer::create(text::VocabularyView::open(*image).value()).value();
        for (int i = 0; i < 300; ++i) {
            const std::string text = random_text(random);
            ASSERT_EQ(tokenizer.encode(text, {}).value(), trained.encode(with_marks(text))) << text;
        }
    }
}

safetensors::TokenizerJson vocabulary_of(std::vector<std::string> texts, std::vector<Pair> merges) {
    safetensors::TokenizerJson out;
    std::sort(texts.begin(), texts.end());
    for (uint32_t id = 0; id < texts.size(); ++id)
        out.vocabulary.emplace_back(texts[id], id);
    out.merges = std::move(merges);
    return out;
}

TEST(HfMergeScores, AreRanks) {
    const auto missing = vocabulary_of({"a", "b", "ab", "aab", "<0x41>", "bb", "\u00E9"},
                                       {{"a", "b"}, {"a", "ab"}, {"b", "b"}, {"aa", "b"}});
    EXPECT_EQ(merge_scores(missing).error().message,
              "model.merges entry 3 needs the token 'aa', which model.vocab does not have");
    auto known = missing;
    known.merges.pop_back();
    known.vocabulary.emplace_back("zzz", 7);
    const std::vector<float> scores = merge_scores(known).value();
    std::map<std::string, float> by_text;
    for (size_t i = 0; i < scores.size(); ++i)
        by_text[known.vocabulary[i].first] = scores[i];
    EXPECT_EQ(by_text, (std::map<std::string, float>{{"a", 0},
                                                     {"b", 0},
                                                     {"ab", 0},
                                                     {"aab", -1},
                                                     {"<0x41>", 0},
                                                     {"bb", -2},
                                                     {"\u00E9", 0},
                                                     {"zzz", -3}}));
}

}  // namespace
}  // namespace bitnetd::worker::test
