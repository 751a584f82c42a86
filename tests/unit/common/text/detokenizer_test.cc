// Goal: streamed text is always valid UTF-8, loses nothing, and is the same however the bytes are
// spread over tokens. Method: vocabularies whose tokens are single bytes, valid and ill-formed
// texts, random ids; the whole text decoded at once is the reference. Prints its seed.
#include <gtest/gtest.h>

#include <random>

#include "common/text/byte_alphabet.h"
#include "common/text/detokenizer.h"
#include "common/text/utf8.h"
#include "common/text/vocabulary_builder.h"

namespace bitnetd::text {
namespace {

// Token i is byte i for i < 256; 256 is a control token, 257 user-defined.
std::vector<std::byte> byte_vocabulary() {
    VocabularyBuilder builder;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        std::string text;
        append_utf8(text, byte_to_alphabet(static_cast<uint8_t>(byte)));
        builder.tokens.push_back(text);
    }
    builder.types.assign(256, TokenType::kNormal);
    builder.tokens.push_back("<|end|>");
    builder.types.push_back(TokenType::kControl);
    builder.tokens.push_back("<user defined>");
    builder.types.push_back(TokenType::kUserDefined);
    builder.merges.emplace_back("a", "b");
    auto image = builder.build();
    EXPECT_TRUE(image.ok()) << image.error().message;
    return std::move(*image);
}

std::string stream(const VocabularyView& view, const std::string& bytes) {
    Detokenizer detokenizer(view);
    std::string out;
    for (const char byte : bytes) {
        detokenizer.push(static_cast<uint8_t>(byte), out);
        EXPECT_TRUE(is_utf8(out)) << "after each token";
    }
    detokenizer.flush(out);
    return out;
}

class DetokenizerTest : public ::testing::Test {
  protected:
    std::vector<std::byte> image_ = byte_vocabulary();
    VocabularyView view_ = VocabularyView::open(image_).value();
};

TEST_F(DetokenizerTest, CharactersComeWhole) {
    const std::string text = "aé€🙂\n日本";
    EXPECT_EQ(stream(view_, text), text);
    Detokenizer detokenizer(view_);
    std::string out;
    for (const unsigned char byte : {0xF0, 0x9F, 0x99})
        detokenizer.push(byte, out);
    EXPECT_EQ(out, "");
    detokenizer.push(0x82, out);
    EXPECT_EQ(out, "🙂");
}

TEST_F(DetokenizerTest, IllFormedBytesBecomeReplacements) {
    EXPECT_EQ(stream(view_, "\xFF"), "\uFFFD");
    EXPECT_EQ(stream(view_, "a\x80z"), "a\uFFFDz");
    EXPECT_EQ(stream(view_, "\xE2\x82"), "\uFFFD") << "one for an unfinished character";
    EXPECT_EQ(stream(view_, "\xE2\x82x"), "\uFFFDx");
    EXPECT_EQ(stream(view_, "\xC0\xAF"), "\uFFFD\uFFFD") << "overlong";
    EXPECT_EQ(stream(view_, "\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD") << "a surrogate";
    EXPECT_EQ(stream(view_, "\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
    EXPECT_EQ(stream(view_, "\uFFFD"), "\uFFFD") << "a real U+FFFD";
}

TEST_F(DetokenizerTest, SpecialTokensPrintWhenAsked) {
    std::string quiet, loud;
    Detokenizer(view_).push(256, quiet);
    Detokenizer(view_, {.print_special = true}).push(256, loud);
    EXPECT_EQ(quiet, "");
    EXPECT_EQ(loud, "<|end|>");
    Detokenizer(view_).push(257, quiet);
    EXPECT_EQ(quiet, "<user defined>");
}

TEST_F(DetokenizerTest, UnknownIdsAreSilent) {
    std::string out;
    Detokenizer(view_).push(258, out);
    Detokenizer(view_).push(kNoId, out);
    EXPECT_EQ(out, "");
}

TEST_F(DetokenizerTest, LeadingSpaceIsStrippedOnce) {
    Detokenizer detokenizer(view_, {.strip_leading_space = true});
    std::string out;
    for (const char byte : std::string_view("  a b")) {
        detokenizer.push(static_cast<uint8_t>(byte), out);
    }
    EXPECT_EQ(out, " a b");
}

TEST_F(DetokenizerTest, RandomBytesGiveValidText) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr unsigned char kBytes[] = {'a',  0x80, 0xBF, 0xC2, 0xC0, 0xE2, 0xE0,
                                        0xED, 0x9F, 0xA0, 0xF0, 0xF4, 0x90, 0xFF};
    for (int round = 0; round < 5'000; ++round) {
        std::string bytes(random() % 12, '\0');
        for (char& c : bytes)
            c = static_cast<char>(kBytes[random() % std::size(kBytes)]);
        const std::string out = stream(view_, bytes);
        EXPECT_TRUE(is_utf8(out));
        if (is_utf8(bytes)) {
            EXPECT_EQ(out, bytes);
        }
    }
}

}  // namespace
}  // namespace bitnetd::text
