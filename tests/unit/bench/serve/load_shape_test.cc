// Goal: the load is the one that was asked for: lengths, arrivals and what each request says follow
// their distributions and depend on the seed alone.
// Method: many draws beside the moments of the distribution, with bounds of six deviations;
// requests read back as HTTP and JSON.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/bench/serve/arrivals.h"
#include "tests/bench/serve/length_distribution.h"
#include "tests/bench/serve/options.h"
#include "tests/bench/serve/request_maker.h"

namespace bitnetd::bench {
namespace {

LengthDistribution lengths(const char* text) {
    Result<LengthDistribution> parsed = LengthDistribution::parse(text);
    EXPECT_TRUE(parsed.ok()) << text;
    return *parsed;
}

TEST(Lengths, Fixed) {
    Rng rng(1);
    for (const char* text : {"17", "fixed:17"}) {
        EXPECT_EQ(lengths(text).draw(rng), 17u);
        EXPECT_TRUE(lengths(text).is_fixed());
        EXPECT_EQ(lengths(text).median(), 17u);
    }
}

TEST(Lengths, UniformReachesBothEndsAndNoMore) {
    const LengthDistribution uniform = lengths("uniform:3..7");
    Rng rng(2);
    std::vector<int> seen(10);
    constexpr int kDraws = 50'000;
    for (int i = 0; i < kDraws; ++i)
        ++seen.at(uniform.draw(rng));
    for (size_t tokens = 0; tokens < seen.size(); ++tokens) {
        if (tokens < 3 || tokens > 7) {
            EXPECT_EQ(seen[tokens], 0) << tokens;
        } else {
            const double deviation = std::sqrt(kDraws * 0.2 * 0.8);
            EXPECT_NEAR(seen[tokens], kDraws * 0.2, 6 * deviation) << tokens;
        }
    }
    EXPECT_EQ(uniform.median(), 5u);
}

TEST(Lengths, LogNormalHasItsMedianAndItsSpread) {
    const LengthDistribution drawn = lengths("lognormal:100,0.5");
    Rng rng(3);
    constexpr int kDraws = 50'000;
    int below = 0, within_sigma = 0;
    for (int i = 0; i < kDraws; ++i) {
        const double tokens = drawn.draw(rng);
        below += tokens < 100;
        within_sigma += std::abs(std::log(tokens / 100)) < 0.5;
    }
    // Rounding puts 4 % of a deviation's width at the median itself.
    EXPECT_NEAR(below, 0.5 * kDraws, 0.02 * kDraws);
    EXPECT_NEAR(within_sigma, 0.683 * kDraws, 0.02 * kDraws);
}

TEST(Lengths, WhatIsNoDistributionIsRefusedByName) {
    for (const char* text : {"", "0", "fixed:", "fixed:0", "fixed:1000001", "uniform:5..4",
                             "uniform:5", "uniform:0..4", "lognormal:5", "lognormal:5,0",
                             "lognormal:5,nan", "normal:3", "12 ", "-3"}) {
        const Result<LengthDistribution> parsed = LengthDistribution::parse(text);
        ASSERT_FALSE(parsed.ok()) << text;
        EXPECT_NE(parsed.error().message.find("\"" + std::string(text) + "\""), std::string::npos);
    }
}

TEST(Arrivals, ComeAtTheirRateAndIndependently) {
    constexpr int kCount = 50'000;
    constexpr uint64_t kBegin = 1'000'000;
    PoissonArrivals arrivals(200, 5, kBegin), again(200, 5, kBegin);
    uint64_t before = kBegin;
    int longer_than_mean = 0;
    for (int i = 0; i < kCount; ++i) {
        const uint64_t at = arrivals.next_ns();
        ASSERT_GE(at, before);
        ASSERT_EQ(at, again.next_ns());
        longer_than_mean += at - before > 5'000'000;
        before = at;
    }
    const double mean_ms = static_cast<double>(before - kBegin) / kCount / 1e6;
    EXPECT_NEAR(mean_ms, 5, 6 * 5 / std::sqrt(double{kCount}));
    const double share = std::exp(-1);  // of gaps that are longer than the mean
    EXPECT_NEAR(longer_than_mean, share * kCount, 6 * std::sqrt(share * (1 - share) * kCount));
}

TEST(Rates, AbsoluteAndOfTheCapacity) {
    const auto rates = parse_rates("200,0.9x,4x");
    ASSERT_TRUE(rates.ok());
    ASSERT_EQ(rates->size(), 3u);
    EXPECT_EQ((*rates)[0].value, 200);
    EXPECT_FALSE((*rates)[0].of_capacity);
    EXPECT_EQ((*rates)[1].value, 0.9);
    EXPECT_TRUE((*rates)[1].of_capacity);
    for (const char* bad : {"x", "0", "-1", "1e9", "2y", "nan", "inf", "1x2"})
        EXPECT_FALSE(parse_rates(bad).ok()) << bad;
}

class Requests : public testing::Test {
  protected:
    Requests() {
        plan_.prompt_tokens = lengths("uniform:1..40");
        plan_.output_tokens = lengths("uniform:1..40");
        plan_.vocabulary = 50;
        plan_.shared_prefix = 5;
        plan_.host = "bench";
        plan_.words = words_of("one \"two\"\n three\\ caf\xC3\xA9 \xFF");
    }
    // The body, and that the head is right for it.
    static nlohmann::json body_of(const std::string& request, const std::string& route) {
        const size_t end = request.find("\r\n\r\n");
        EXPECT_EQ(request.find("POST " + route + " HTTP/1.1\r\nHost: bench\r\n"), 0u);
        const std::string body = request.substr(end + 4);
        EXPECT_NE(request.substr(0, end).find("\r\nContent-Length: " + std::to_string(body.size())),
                  std::string::npos);
        return nlohmann::json::parse(body);
    }

    RequestPlan plan_;
};

TEST_F(Requests, CompletionsSayWhatWasDrawn) {
    plan_.priorities = {"high", "low"};
    plan_.timeout_ms = 77;
    plan_.model = "demo";
    RequestMaker maker(plan_);
    std::vector<uint64_t> prefix;
    std::string request;
    for (uint64_t number = 0; number < 200; ++number) {
        const RequestFacts facts = maker.facts(number);
        maker.write(facts, request);
        const auto body = body_of(request, "/v1/completions");
        EXPECT_EQ(body["max_tokens"], facts.output_tokens);
        EXPECT_EQ(body["seed"], number);
        EXPECT_EQ(body["priority"], plan_.priorities[facts.priority]);
        EXPECT_EQ(body["timeout_ms"], 77);
        EXPECT_EQ(body["model"], "demo");
        EXPECT_EQ(body["ignore_eos"], true);
        EXPECT_EQ(body["stream"], true);
        EXPECT_EQ(body["stream_options"]["include_usage"], true);
        auto ids = body["prompt"].get<std::vector<uint64_t>>();
        ASSERT_EQ(ids.size(), facts.prompt_tokens);
        EXPECT_LT(*std::max_element(ids.begin(), ids.end()), 50u);
        if (ids.size() < 5) continue;
        ids.resize(5);
        if (prefix.empty()) prefix = ids;
        EXPECT_EQ(ids, prefix) << "request " << number;
    }
}

TEST_F(Requests, ANumberAlwaysMeansTheSameRequest) {
    RequestMaker one(plan_), other(plan_);
    std::string a, b, c;
    one.write(one.facts(3), c);
    one.write(one.facts(9), a);
    other.write(other.facts(9), b);
    EXPECT_EQ(a, b);
    EXPECT_NE(a, c);
}

TEST_F(Requests, ChatsAreWordsOfTheTextWhateverIsInIt) {
    plan_.routes = {Route::kChat};
    plan_.stream = false;
    RequestMaker maker(plan_);
    std::string request;
    for (uint64_t number = 0; number < 50; ++number) {
        const RequestFacts facts = maker.facts(number);
        maker.write(facts, request);
        const auto body = body_of(request, "/v1/chat/completions");
        EXPECT_FALSE(body.contains("stream"));
        const std::string content = body["messages"][0]["content"];
        EXPECT_EQ(words_of(content).size(), facts.prompt_tokens);
    }
}

TEST_F(Requests, CompletionsOfATextAreItsWords) {
    plan_.text_prompts = true;
    RequestMaker maker(plan_);
    std::string request;
    const RequestFacts facts = maker.facts(5);
    maker.write(facts, request);
    const std::string prompt = body_of(request, "/v1/completions")["prompt"];
    EXPECT_EQ(words_of(prompt).size(), facts.prompt_tokens);
}

TEST_F(Requests, PromptAndAnswerFitIntoTheContext) {
    plan_.context = 30;
    const RequestMaker maker(plan_);
    for (uint64_t number = 0; number < 500; ++number) {
        const RequestFacts facts = maker.facts(number);
        EXPECT_GE(facts.prompt_tokens, 1u);
        EXPECT_GE(facts.output_tokens, 1u);
        EXPECT_LE(facts.prompt_tokens + facts.output_tokens, 30u);
    }
}

}  // namespace
}  // namespace bitnetd::bench
