// Goal: an image gives back what was put in, the builder refuses what breaks a limit, and a damaged
// or hostile image is refused or harmless. Method: a small vocabulary; every byte of its header and
// random bytes elsewhere overwritten, then opened and used. Prints its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>

#include "common/text/detokenizer.h"
#include "common/text/tokenizer.h"
#include "common/text/vocabulary_builder.h"

namespace bitnetd::text {
namespace {

VocabularyBuilder small_builder() {
    VocabularyBuilder builder;
    builder.tokens = {"a", "b", "c", "ab", "abc", "ab", "\u0120", "<|bos|>", "<|eot|>", "<u>"};
    builder.types.assign(builder.tokens.size(), TokenType::kNormal);
    builder.types[7] = builder.types[8] = TokenType::kControl;
    builder.types[9] = TokenType::kUserDefined;
    EXPECT_TRUE(builder.add_merge("a b"));
    EXPECT_TRUE(builder.add_merge("ab c"));
    EXPECT_TRUE(builder.add_merge("a b"));  // twice: the first rank counts
    builder.bos = 7;
    builder.eot = 8;
    builder.end_ids = {8, 8};
    builder.suppressed = {7};
    builder.add_bos = true;
    builder.pre_tokenizer = "llama-bpe";
    builder.chat_template = "{{ x }}";
    return builder;
}

std::vector<std::byte> small_image() {
    auto image = small_builder().build();
    EXPECT_TRUE(image.ok()) << image.error().message;
    return std::move(*image);
}

TEST(VocabularyImage, GivesBackWhatWasPutIn) {
    const auto image = small_image();
    const auto view = VocabularyView::open(image);
    ASSERT_TRUE(view.ok()) << view.error().message;
    EXPECT_EQ(view->token_count(), 10u);
    EXPECT_EQ(view->text(4), "abc");
    EXPECT_EQ(view->bytes(6), " ");
    EXPECT_EQ(view->bytes(8), "<|eot|>");
    EXPECT_EQ(view->type(9), TokenType::kUserDefined);
    EXPECT_EQ(view->find("ab"), 3u) << "of duplicates the first";
    EXPECT_EQ(view->text(5), "ab") << "ids of duplicates stay exact";
    EXPECT_EQ(view->find("zz"), kNoId);
    const MergeEntry* merge = view->find_merge(0, 1);
    ASSERT_NE(merge, nullptr);
    EXPECT_EQ(merge->rank, 0u);
    EXPECT_EQ(merge->merged, 3u);
    EXPECT_EQ(view->find_merge(1, 0), nullptr);
    EXPECT_EQ(view->bos(), 7u);
    EXPECT_EQ(view->eos(), std::nullopt);
    EXPECT_TRUE(view->is_end_of_generation(8));
    EXPECT_FALSE(view->is_end_of_generation(7));
    EXPECT_EQ(view->end_ids().size(), 1u);
    EXPECT_EQ(view->suppressed().size(), 1u);
    EXPECT_EQ(view->pre_tokenizer(), "llama-bpe");
    EXPECT_EQ(view->chat_template(), "{{ x }}");
    EXPECT_TRUE(view->has(kAddBos));
    EXPECT_FALSE(view->has(kIgnoreMerges));
}

TEST(VocabularyImage, BuilderRefusesWhatBreaksALimit) {
    const auto refused = [](auto change) {
        VocabularyBuilder builder = small_builder();
        change(builder);
        return !builder.build().ok();
    };
    EXPECT_FALSE(refused([](VocabularyBuilder&) {}));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.tokens.clear(); }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.types.pop_back(); }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.tokens[0].assign(4097, 'x'); }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.merges.clear(); }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.merges[0].first.assign(4097, 'x'); }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.eos = 10; }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.end_ids = {10}; }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.chat_template.assign((1 << 20) + 1, 'x'); }));
    EXPECT_TRUE(refused([](VocabularyBuilder& b) { b.model = VocabularyModel::kSpm; }))
        << "no scores";
    EXPECT_TRUE(refused([](VocabularyBuilder& b) {
        b.model = VocabularyModel::kSpm;
        b.scores.assign(10, std::numeric_limits<float>::quiet_NaN());
    }));
}

TEST(VocabularyImage, NoSpecialTokenSplitsACharacter) {
    VocabularyBuilder builder = small_builder();
    builder.normalise_nfc = true;
    for (const char* part : {"\x82\xAC", "\xE2\x82", "\xE2"}) {
        builder.tokens[9] = part;
        auto image = builder.build();
        ASSERT_TRUE(image.ok()) << image.error().message;
        const auto view = VocabularyView::open(*image);
        ASSERT_TRUE(view.ok()) << view.error().message;
        EXPECT_EQ(view->text(9), part) << "still a token, whose bytes may be generated";
        EXPECT_EQ(view->specials().size(), 2u);
        const auto tokenizer = Tokenizer::create(*view);
        ASSERT_TRUE(tokenizer.ok());
        const auto ids = tokenizer->encode("12 \u20AC e\u0301", {true, true});
        ASSERT_TRUE(ids.ok()) << ids.error().message;
        EXPECT_EQ(std::count(ids->begin(), ids->end(), 9u), 0);
        // Written all the same by a hostile loader.
        const auto specials = view->specials();
        const size_t at = static_cast<size_t>(reinterpret_cast<const std::byte*>(specials.data()) -
                                              image->data());
        const uint32_t id = 9;
        std::memcpy(image->data() + at, &id, sizeof id);
        EXPECT_FALSE(VocabularyView::open(*image).ok());
    }
}

TEST(VocabularyImage, MergesSplitAtTheFirstSpaceBehindTheFirstByte) {
    VocabularyBuilder builder;
    EXPECT_TRUE(builder.add_merge("a b c"));
    EXPECT_EQ(builder.merges.back(), std::make_pair(std::string("a"), std::string("b c")));
    EXPECT_TRUE(builder.add_merge("  b"));
    EXPECT_EQ(builder.merges.back(), std::make_pair(std::string(" "), std::string("b")));
    for (const char* bad : {"", " ", "ab", "ab ", " b"}) {
        EXPECT_FALSE(builder.add_merge(bad)) << "'" << bad << "'";
    }
}

TEST(VocabularyImage, RefusesMemoryThatIsNoImage) {
    auto image = small_image();
    EXPECT_FALSE(VocabularyView::open({}).ok());
    for (size_t bytes = 0; bytes < image.size(); bytes += 7) {
        EXPECT_FALSE(VocabularyView::open(std::span(image).first(bytes)).ok()) << bytes;
    }
    std::vector<std::byte> shifted(image.size() + 1);
    std::memcpy(shifted.data() + 1, image.data(), image.size());
    EXPECT_FALSE(VocabularyView::open(std::span(shifted).subspan(1)).ok()) << "misaligned";
}

// Opens and, if it opens, does everything with it. Sanitizers are the judges.
void use(std::span<const std::byte> image) {
    const auto view = VocabularyView::open(image);
    if (!view.ok()) return;
    const auto tokenizer = Tokenizer::create(*view);
    if (!tokenizer.ok()) return;
    const auto ids = tokenizer->encode("abcabc <u> ab<|eot|>\xFF", {true, true});
    if (!ids.ok()) return;
    Detokenizer detokenizer(*view, {.print_special = true});
    std::string out;
    for (const uint32_t id : *ids) {
        ASSERT_LT(id, view->token_count());
        detokenizer.push(id, out);
    }
    detokenizer.flush(out);
}

TEST(VocabularyImage, SurvivesEveryHeaderByte) {
    const auto good = small_image();
    for (size_t at = 0; at < sizeof(VocabularyHeader); ++at) {
        for (const int value : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
            auto image = good;
            image[at] = static_cast<std::byte>(value);
            use(image);
        }
    }
}

TEST(VocabularyImage, SurvivesRandomDamage) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto good = small_image();
    for (int round = 0; round < 20'000; ++round) {
        auto image = good;
        for (unsigned i = 0; i < 1 + random() % 4; ++i) {
            image[random() % image.size()] = static_cast<std::byte>(random());
        }
        use(image);
    }
}

}  // namespace
}  // namespace bitnetd::text
