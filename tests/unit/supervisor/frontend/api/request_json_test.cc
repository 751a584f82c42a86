// Goal: bodies that are not exactly one JSON object of bounded size are refused with the right
// code. Method: literal bodies, good and bad.
#include "supervisor/frontend/api/request_json.h"

#include <gtest/gtest.h>

#include "supervisor/frontend/api/json_text.h"
#include "supervisor/frontend/api/url_text.h"

namespace bitnetd::frontend {
namespace {

std::optional<ApiError> parse(const std::string& body) {
    OrderedJson json;
    return parse_json_object(body, json);
}

std::string nested(size_t depth) {
    return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
}

TEST(RequestJsonTest, TakesOneObject) {
    for (const char* body :
         {"{}", " {\"a\": 1}\n", R"({"a":"ä\ud83d\ude00\\\"]["})", R"({"a":[[],{}],"b":null})"}) {
        const auto error = parse(body);
        EXPECT_FALSE(error) << body << error->message;
    }
    EXPECT_FALSE(parse(nested(kJsonDepthMax)));
}

TEST(RequestJsonTest, RefusesEverythingElse) {
    const std::string bad[] = {"",
                               " ",
                               "[]",
                               "1",
                               "\"a\"",
                               "null",
                               "{",
                               "{}}",
                               "{} x",
                               "{}{}",
                               "{\"a\":1,}",
                               "{a:1}",
                               "{'a':1}",
                               "{\"a\":NaN}",
                               "{\"a\":Infinity}",
                               "{\"a\":-}",
                               "{\"a\":01}",
                               "{\"a\":1e999}",
                               "{\"a\":\"\\ud800\"}",
                               "{\"a\":\"\\udc00\"}",
                               "{\"a\":\"\\x\"}",
                               "{\"a\":\"\xff\"}",
                               "{\"a\":\"\xc0\xaf\"}",
                               "{\"a\":\"\xed\xa0\x80\"}",
                               "{\"a\":\"\n\"}",
                               "{\"a\":\"",
                               "{\"a\":\"\\",
                               "// x\n{}",
                               std::string("{}\0", 3),
                               nested(kJsonDepthMax + 1),
                               std::string(100'000, '['),
                               std::string(100'000, '{')};
    for (const std::string& body : bad) {
        const auto error = parse(body);
        ASSERT_TRUE(error) << body.substr(0, 60);
        EXPECT_EQ(error->status, 400);
        EXPECT_EQ(error->code, "invalid_json");
    }
}

TEST(RequestJsonTest, ValuesAreBounded) {
    std::string body = "{\"a\":[0";
    for (size_t i = 0; i < kJsonValuesMax; ++i)
        body += ",0";
    EXPECT_TRUE(parse(body + "]}"));
}

TEST(RequestJsonTest, OfDuplicatesTheLastCounts) {
    OrderedJson json;
    ASSERT_FALSE(parse_json_object(R"({"a":1,"a":2})", json));
    Fields fields(json);
    EXPECT_EQ(fields.integer("a", 0, 9), 2u);
}

TEST(RequestJsonTest, TheFirstErrorIsKept) {
    const OrderedJson json = {{"a", "x"}, {"b", "x"}};
    Fields fields(json);
    EXPECT_FALSE(fields.integer("a", 0, 9));
    EXPECT_FALSE(fields.integer("b", 0, 9));
    ASSERT_TRUE(fields.error());
    EXPECT_EQ(fields.error()->param, "a");
    EXPECT_EQ(fields.error()->message, "'a' must be a whole number from 0 to 9.");
}

TEST(RequestJsonTest, EscapesAsJsonDoes) {
    for (int c = 0; c < 128; ++c) {
        const std::string text = "a" + std::string(1, static_cast<char>(c)) + "ö\U0001F600";
        std::string out = "\"";
        append_json_escaped(out, text);
        out += '"';
        EXPECT_EQ(nlohmann::json::parse(out).get<std::string>(), text) << c;
    }
    std::string out;
    append_json_string(out, "\xff");
    EXPECT_EQ(out, "\"\xEF\xBF\xBD\"");
}

TEST(RequestJsonTest, QueryValues) {
    EXPECT_EQ(query_value("a=1&b=x%20y", "b"), "x y");
    EXPECT_EQ(query_value("a=1&b=2", "a"), "1");
    EXPECT_FALSE(query_value("a=1", "b"));
    EXPECT_FALSE(query_value("a=%2", "a"));
    EXPECT_FALSE(query_value("a=%zz", "a"));
    EXPECT_FALSE(query_value("", "a"));
}

}  // namespace
}  // namespace bitnetd::frontend
