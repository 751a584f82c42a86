// Goal: NFC is Unicode's, whatever stands in the text, and a hostile run of combining marks costs
// no more than sorting it. Method: random sequences with the form another implementation gives
// (golden/text/nfc.json); properties that hold for every text; a megabyte of marks in the worst
// order, which an exchange sort would not finish within the watchdog.
#include <gtest/gtest.h>

#include "common/text/byte_alphabet.h"
#include "common/text/normalise.h"
#include "common/text/tokenizer.h"
#include "common/text/utf8.h"
#include "common/text/vocabulary_builder.h"
#include "tests/unit/common/text/golden_files.h"

namespace bitnetd::text {
namespace {

TEST(Normalise, GivesTheFormOfAnotherImplementation) {
    const auto golden = tests::read_json(tests::golden_path("text/nfc.json"));
    ASSERT_GE(golden["cases"].size(), 150u);
    for (const auto& c : golden["cases"]) {
        const auto text = c["text"].get<std::string>();
        const auto nfc = c["nfc"].get<std::string>();
        EXPECT_EQ(to_nfc(text), nfc) << c.dump();
        EXPECT_EQ(to_nfc(nfc), nfc) << c.dump();
        EXPECT_EQ(to_nfc("ab " + text + " c"), "ab " + nfc + " c") << c.dump();
        EXPECT_TRUE(!is_surely_nfc(text) || text == nfc) << c.dump();
    }
}

TEST(Normalise, KeepsPlainText) {
    std::string latin;
    for (uint32_t c = 0; c < 0x300; ++c)
        append_utf8(latin, c);
    EXPECT_TRUE(is_surely_nfc(latin));
    EXPECT_EQ(to_nfc(latin), latin);
    EXPECT_FALSE(is_surely_nfc("e\u0301"));
}

TEST(Normalise, EndsWhateverBytesItIsGiven) {
    for (const char* text :
         {"\xE2", "price \xE2", "\x82\xAC e\u0301", "\xAC\xE2\x82", "\xFF\xF0"}) {
        const std::string nfc = to_nfc(text);
        EXPECT_LE(nfc.size(), 3 * std::string_view(text).size()) << text;
    }
    EXPECT_EQ(to_nfc("a\xE2"), "a\uFFFD");
}

TEST(Normalise, SortsALongRunOfMarks) {
    std::string text = "a", sorted_tail;
    constexpr size_t kMarks = 1 << 18;
    for (size_t i = 0; i < kMarks; ++i)
        text += "\u0301\u0316";  // above, below: each pair is in the wrong order
    for (size_t i = 0; i < kMarks; ++i)
        sorted_tail += "\u0316";
    for (size_t i = 1; i < kMarks; ++i)
        sorted_tail += "\u0301";
    // The first acute meets the letter: marks below do not block it.
    EXPECT_EQ(to_nfc(text), "\u00E1" + sorted_tail);
}

// A vocabulary of single bytes whose text is normalised, with a special token that is not in NFC.
TEST(Normalise, IsDoneToRawTextOnly) {
    VocabularyBuilder builder;
    for (uint32_t c = 0; c < 256; ++c) {
        std::string text;
        append_utf8(text, byte_to_alphabet(static_cast<uint8_t>(c)));
        builder.tokens.push_back(text);
        builder.types.push_back(TokenType::kNormal);
    }
    ASSERT_TRUE(builder.add_merge("a b"));
    builder.tokens.push_back("<e\u0301>");
    builder.types.push_back(TokenType::kControl);
    builder.pre_tokenizer = "qwen2";
    using Ids = std::vector<uint32_t>;
    const auto encode = [&builder](std::string_view text) {
        const auto image = builder.build().value();
        const auto tokenizer = Tokenizer::create(VocabularyView::open(image).value()).value();
        return tokenizer.encode(text, {.parse_special = true}).value();
    };
    const Ids decomposed = {'e', 0xCC, 0x81}, composed = {0xC3, 0xA9}, special = {256};
    EXPECT_EQ(encode("e\u0301"), decomposed);
    builder.normalise_nfc = true;
    EXPECT_EQ(encode("e\u0301"), composed);
    EXPECT_EQ(encode("<e\u0301>"), special) << "matched before the text is normalised";
    EXPECT_EQ(encode("<\u00E9>"), (Ids{'<', 0xC3, 0xA9, '>'})) << "and not after it";
}

}  // namespace
}  // namespace bitnetd::text
