// Goal: a hostile template or conversation ends in an error, soon and with bounded memory; nothing
// recurses without bound. Method: one attack per test, each aimed at one limit.
#include <gtest/gtest.h>

#include "common/text/chat_template.h"

namespace bitnetd::text {
namespace {

using nlohmann::ordered_json;

std::string repeated(const std::string& text, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i)
        out += text;
    return out;
}

std::string parse_error(const std::string& source) {
    const auto chat = ChatTemplate::parse(source);
    return chat.ok() ? "" : chat.error().message;
}

// The error of rendering, or what was printed.
Result<MarkedText> render(const std::string& source, const ordered_json& variables) {
    BITNETD_ASSIGN(const ChatTemplate chat, ChatTemplate::parse(source));
    return chat.render(variables);
}

std::string render_error(const std::string& source,
                         const ordered_json& variables = ordered_json::object()) {
    const auto text = render(source, variables);
    return text.ok() ? "" : text.error().message;
}

TEST(ChatTemplateLimits, SourceAndNestingAreBounded) {
    EXPECT_NE(parse_error(std::string((1 << 20) + 1, 'x')), "");
    EXPECT_NE(parse_error("{{ " + repeated("(", 100'000)), "");
    EXPECT_NE(parse_error("{{ " + repeated("[", 100'000) + repeated("]", 100'000) + " }}"), "");
    EXPECT_NE(parse_error("{{ " + repeated("not ", 100'000) + "1 }}"), "");
    EXPECT_NE(parse_error("{{ " + repeated("-", 100'000) + "1 }}"), "");
    EXPECT_NE(parse_error("{{ 1" + repeated(" + 1", 100'000) + " }}"), "");
    EXPECT_NE(parse_error("{{ x" + repeated(".x", 100'000) + " }}"), "");
    EXPECT_NE(parse_error("{{ x" + repeated(" | trim", 100'000) + " }}"), "");
    EXPECT_NE(parse_error("{{ x" + repeated(" is defined", 100'000) + " }}"), "");
    EXPECT_NE(parse_error("{{ 1" + repeated(" if 1 else 1", 10'000) + " }}"), "");
    EXPECT_NE(parse_error(repeated("{% if x %}", 50'000)), "");
    EXPECT_NE(parse_error(repeated("{% for x in y %}", 50'000)), "");
}

TEST(ChatTemplateLimits, LongFlatTemplatesAreFine) {
    EXPECT_EQ(parse_error("{% if x %}" + repeated("{% elif x %}a", 50'000) + "{% endif %}"), "");
    EXPECT_EQ(render_error("{{ ''" + repeated(" ~ 'a'", 50'000) + " }}"), "");
    EXPECT_EQ(render_error(repeated("{% set x = 1 %}", 50'000)), "");
}

TEST(ChatTemplateLimits, ErrorsSayLineAndReason) {
    EXPECT_EQ(parse_error("a\n\n{{ x | nofilter }}"),
              "chat template: line 3: unknown filter 'nofilter'");
    EXPECT_EQ(parse_error("{% include 'x' %}"),
              "chat template: line 1: the tag 'include' is not supported");
    EXPECT_EQ(render_error("\n{{ raise_exception('no tools here') }}"),
              "chat template: line 2: raise_exception(): no tools here");
}

TEST(ChatTemplateLimits, StepsAreBounded) {
    const std::string nested =
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    EXPECT_NE(render_error(nested).find("too many steps"), std::string::npos);
    const std::string recursion = "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}";
    EXPECT_NE(render_error(recursion).find("too deeply"), std::string::npos);
    // Fans out below the depth limit: 2^40 calls.
    const std::string fan =
        "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ "
        "f(40) }}";
    EXPECT_NE(render_error(fan).find("too many steps"), std::string::npos);
    EXPECT_NE(render_error("{{ range(100001) | length }}"), "");
    EXPECT_NE(render_error("{{ range(-2147483000, 2147483000) | length }}"), "");
}

// What the parser allows within one macro, times the macros that may call each other.
TEST(ChatTemplateLimits, DepthIsBoundedOverAllMacros) {
    constexpr size_t kTags = 60, kTerms = 190;
    const std::string source = "{% macro f() %}" + repeated("{% if true %}", kTags) + "{{ f()" +
                               repeated(" + ''", kTerms) + " }}" + repeated("{% endif %}", kTags) +
                               "{% endmacro %}{{ f() }}";
    EXPECT_NE(render_error(source).find("nested too deeply"), std::string::npos);
    const std::string once = "{% macro f() %}x{% endmacro %}" + repeated("{% if true %}", kTags) +
                             "{{ f()" + repeated(" + ''", kTerms) + " }}" +
                             repeated("{% endif %}", kTags);
    EXPECT_EQ(render_error(once), "");
}

// As many characters to compare as two nested walks over long texts would take.
TEST(ChatTemplateLimits, SearchingIsNoProductOfLengths) {
    const std::string texts =
        "{% set a = 'a' * 1000 * 4000 ~ 'b' %}{% set b = 'a' * 1000 * 8000 %}";
    for (const char* expression : {"a in b", "b.find(a)", "b.count(a)", "b.split(a) | length",
                                   "b.replace(a, 'x') | length"}) {
        EXPECT_EQ(render_error(texts + "{{ " + expression + " }}"), "") << expression;
    }
    EXPECT_NE(render_error(texts + "{{ b.strip('b' * 1000 * 4000) }}").find("too many steps"),
              std::string::npos);
    EXPECT_NE(render_error(texts + "{{ b.startswith([a] * 100000) }}").find("too many steps"),
              std::string::npos);
    EXPECT_EQ(render_error(texts + "{{ b.rstrip(' ab') }}"), "");
}

TEST(ChatTemplateLimits, KeptTextIsBounded) {
    const std::string keeping = "{% for i in range(20000) %}{% set x %}" +
                                std::string(100'000, 'x') + "{% endset %}{% endfor %}";
    EXPECT_NE(render_error(keeping).find("too much text"), std::string::npos);
    EXPECT_NE(render_error("{% for c in 'x' * 1000 * 4000 %}{% endfor %}").find("too many steps"),
              std::string::npos);
}

TEST(ChatTemplateLimits, TextIsBounded) {
    const std::string doubling =
        "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}"
        "{% endfor %}{{ ns.s | length }}";
    EXPECT_NE(render_error(doubling).find("too much text"), std::string::npos);
    EXPECT_NE(render_error("{{ 'x' * 9223372036854775807 }}"), "");
    EXPECT_NE(render_error("{{ ('x' * 1000000) * 1000000 }}"), "");
    EXPECT_NE(render_error("{{ [1] * 100000000 }}"), "");
    EXPECT_NE(render_error("{{ ('a' * 1000).replace('a', 'b' * 10000000) }}"), "");
    const std::string printing =
        "{% set s = 'x' * 1000000 %}{% for i in range(20) %}{{ s }}{% endfor %}";
    EXPECT_NE(render_error(printing).find("prints too much"), std::string::npos);
    EXPECT_NE(render_error("{{ ('x' * 16000000).split('x') | length }}"), "");
}

TEST(ChatTemplateLimits, ValuesNestToABound) {
    const std::string nesting =
        "{% set ns = namespace(v=[]) %}{% for i in range(100000) %}{% set ns.v = [ns.v] %}{% "
        "endfor %}";
    EXPECT_NE(render_error(nesting).find("nested too deeply"), std::string::npos);
    ordered_json deep = 1;
    for (int i = 0; i < 5000; ++i)
        deep = ordered_json::array({std::move(deep)});
    ordered_json variables;
    variables["messages"] = std::move(deep);
    EXPECT_NE(render_error("x", variables).find("nested too deeply"), std::string::npos);
    EXPECT_NE(render_error("{% for a in [1] %}{% set x = [loop] %}{% endfor %}"), "");
}

TEST(ChatTemplateLimits, ArithmeticDoesNotOverflow) {
    EXPECT_NE(render_error("{{ -9223372036854775807 - 2 }}"), "");
    EXPECT_NE(render_error("{{ (-9223372036854775807 - 1) // -1 }}"), "");
    EXPECT_NE(render_error("{{ 3037000500 * 3037000500 }}"), "");
    EXPECT_NE(render_error("{{ -(-9223372036854775807 - 1) }}"), "");
    EXPECT_NE(render_error("{{ 1 // 0 }}"), "");
    EXPECT_NE(render_error("{{ 1 % 0 }}"), "");
    const auto rest = render("{{ (-9223372036854775807 - 1) % -1 }}", ordered_json::object());
    ASSERT_TRUE(rest.ok()) << rest.error().message;
    EXPECT_EQ(rest->str(), "0");
}

TEST(ChatTemplateLimits, IllFormedTextIsCarriedNotTrusted) {
    ordered_json variables;
    variables["s"] = "a\xFF\xE2\x82 b\xC0";
    const auto text = render(
        "{{ s | trim }}{{ s[1] }}{{ s | length }}{{ s | upper }}{{ s[::-1] | length }}", variables);
    ASSERT_TRUE(text.ok()) << text.error().message;
    EXPECT_EQ(text->str().substr(0, 8), "a\xFF\xE2\x82 b\xC0\xFF");
}

}  // namespace
}  // namespace bitnetd::text
