// Goal: whatever a server sends as JSON is read without harm, and shown without speaking to the
// terminal.
// Method: wrong types, hostile sizes and depths, control characters.
#include "supervisor/ctl/answer_json.h"

#include <gtest/gtest.h>

#include <limits>

namespace bitnetd::supervisor {
namespace {

TEST(AnswerJson, WhatIsMissingOrOfAnotherTypeIsEmpty) {
    const Json object = {
        {"text", 7}, {"number", "x"}, {"flag", 1}, {"list", Json::object()}, {"object", nullptr}};
    for (const Json& json :
         {object, Json::object(), Json::array(), Json(), Json("text"), Json(7)}) {
        EXPECT_EQ(text_of(json, "text"), "");
        EXPECT_EQ(number_of(json, "number"), 0);
        EXPECT_EQ(count_of(json, "number"), 0u);
        EXPECT_FALSE(flag_of(json, "flag"));
        EXPECT_TRUE(list_of(json, "list").empty());
        EXPECT_TRUE(object_of(json, "object").is_object());
    }
}

TEST(AnswerJson, NumbersOfAnyKind) {
    const Json object = {{"u", 18'446'744'073'709'551'615u},
                         {"i", -5},
                         {"f", 2.5},
                         {"huge", 1e300},
                         {"nan", std::numeric_limits<double>::quiet_NaN()}};
    EXPECT_EQ(count_of(object, "u"), std::numeric_limits<uint64_t>::max());
    EXPECT_EQ(count_of(object, "i"), 0u);
    EXPECT_EQ(number_of(object, "i"), 0);
    EXPECT_EQ(count_of(object, "f"), 2u);
    EXPECT_EQ(count_of(object, "huge"), 9'000'000'000'000'000'000u);
    EXPECT_EQ(number_of(object, "nan"), 0);
}

TEST(AnswerJson, TextsArePrintable) {
    const auto json = parse_answer("{\"a\": \"x\\u001b[2Jy\\u0007\\u00e4\\n\"}");
    ASSERT_TRUE(json.ok()) << json.error().message;
    EXPECT_EQ(text_of(*json, "a"), "x?[2Jy???");
    EXPECT_EQ(dumped(*json, -1), "{\"a\":\"x\\u001b[2Jy\\u0007\\u00e4\\n\"}");
    EXPECT_EQ(text_of({{"a", std::string(10'000, 'x')}}, "a").size(), kTextBytesMax);
    // Not UTF-8: replaced, not thrown.
    EXPECT_EQ(dumped(Json("\xff\xfe"), -1), "\"\\ufffd\\ufffd\"");
}

TEST(AnswerJson, NoJsonIsAnError) {
    for (const char* text : {"", "{", "hello\x1b[2J", "{} {}", "{\"a\": nan}", "\"\xff\""}) {
        const auto json = parse_answer(text);
        ASSERT_FALSE(json.ok()) << text;
        EXPECT_EQ(json.error().message.find('\x1b'), std::string::npos);
    }
}

TEST(AnswerJson, DepthAndSizeAreBounded) {
    EXPECT_TRUE(parse_answer(std::string(10, '[') + std::string(10, ']')).ok());
    EXPECT_FALSE(parse_answer(std::string(40, '[') + std::string(40, ']')).ok());
    const size_t many = 1'000'000;
    EXPECT_FALSE(parse_answer(std::string(many, '[') + std::string(many, ']')).ok());
    EXPECT_FALSE(parse_answer(std::string(many, '[')).ok());
    EXPECT_FALSE(parse_answer("\"" + std::string(kAnswerBytesMax, 'x') + "\"").ok());
    EXPECT_TRUE(parse_answer("\"" + std::string(kAnswerBytesMax - 2, 'x') + "\"").ok());
}

}  // namespace
}  // namespace bitnetd::supervisor
