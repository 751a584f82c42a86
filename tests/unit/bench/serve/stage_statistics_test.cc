// Goal: every attempt is counted once, in the right place; rates, fairness and the share of
// accepted retries are what their definitions say. Method: made-up jobs and answers with chosen
// times.
#include "tests/bench/serve/stage_statistics.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "tests/bench/serve/same_texts.h"

namespace bitnetd::bench {
namespace {

constexpr uint64_t kMs = kNsPerMs;

// A stage of 1 s after a warm-up of 1 s, that began at 10 s: the window is 11 s to 12 s.
class Statistics : public testing::Test {
  protected:
    static constexpr uint64_t kBegin = 11'000 * kMs;

    static Stage stage() {
        Stage stage;
        stage.clients = 2;
        stage.warmup_ns = kNsPerS;
        stage.duration_ns = kNsPerS;
        return stage;
    }
    static Job job(uint64_t due_ms, uint32_t client = 0, uint32_t attempt = 0) {
        Job job;
        job.due_ns = due_ms * kMs;
        job.sent_ns = job.due_ns + kMs;
        job.client = client;
        job.attempt = attempt;
        job.facts.output_tokens = 10;
        return job;
    }
    static Answer answer(uint64_t first_ms, uint64_t last_ms, uint64_t tokens = 10) {
        Answer answer;
        answer.status = 200;
        answer.first_text_ns = first_ms * kMs;
        answer.last_text_ns = last_ms * kMs;
        answer.usage = {20, 4, tokens};
        return answer;
    }
    static Answer refusal(int status, bool says_when = true) {
        Answer answer;
        answer.status = status;
        answer.error_code = "queue_full";
        if (says_when) answer.retry_after_ms = 100;
        return answer;
    }
    Outcome take(const Job& job, const Answer& answer, uint64_t now_ms) {
        statistics_.sent(job);
        return statistics_.take(job, answer, now_ms * kMs, {});
    }

    StageStatistics statistics_{stage(), 10'000 * kMs, {.context = 1000}};
};

TEST_F(Statistics, LatenciesCountFromWhenItWasDue) {
    EXPECT_EQ(take(job(11'100), answer(11'140, 11'230), 11'235), Outcome::kAnswered);
    EXPECT_EQ(statistics_.first_text.max_ms(), 40);
    EXPECT_EQ(statistics_.per_token.max_ms(), 10) << "90 ms for 9 tokens";
    EXPECT_EQ(statistics_.whole.max_ms(), 135);
    EXPECT_EQ(statistics_.late.max_ms(), 1);
    EXPECT_EQ(statistics_.first_text_spread(), 1);
}

TEST_F(Statistics, TheWindowDecidesWhatCounts) {
    take(job(10'500), answer(10'900, 11'100), 11'100);  // due in the warm-up; half its tokens after
    take(job(11'900), answer(11'900, 12'100),
         12'100);  // due within; half its tokens before the end
    take(job(12'000), answer(12'000, 12'100), 12'100);  // due at the end: no more
    statistics_.end(13'000 * kMs);
    EXPECT_EQ(statistics_.answered, 1u);
    EXPECT_EQ(statistics_.seconds(), 1);
    EXPECT_DOUBLE_EQ(statistics_.output_tokens_s(), 10);
    EXPECT_DOUBLE_EQ(statistics_.answers_s(), 1) << "the first one ended within";
    EXPECT_DOUBLE_EQ(statistics_.prompt_tokens_s(), 20) << "the second one's";
    EXPECT_DOUBLE_EQ(statistics_.cached_tokens_s(), 4);
}

TEST_F(Statistics, AWholeAnswerCountsFromSendingToItsEnd) {
    Answer whole = answer(0, 0);
    take(job(10'949), whole, 11'050);  // sent at 10'950
    EXPECT_EQ(statistics_.first_text.count(), 0u);
    statistics_.end(12'000 * kMs);
    EXPECT_DOUBLE_EQ(statistics_.output_tokens_s(), 5);
}

TEST_F(Statistics, RefusalsAreNoErrorsIfTheySayWhenToComeBack) {
    EXPECT_EQ(take(job(11'000), refusal(503), 11'004), Outcome::kRefused);
    EXPECT_EQ(take(job(11'000), refusal(429), 11'004), Outcome::kRefused);
    EXPECT_EQ(take(job(11'000), refusal(503, false), 11'004), Outcome::kFailed);
    EXPECT_EQ(take(job(11'000), refusal(408), 11'004), Outcome::kFailed);
    EXPECT_EQ(take(job(11'000), refusal(400), 11'004), Outcome::kFailed);
    EXPECT_EQ(statistics_.refused, 2u);
    EXPECT_EQ(statistics_.errors, 3u);
    EXPECT_EQ(statistics_.failed, 3u);
    EXPECT_EQ(statistics_.refuse.max_ms(), 3);
    EXPECT_EQ(statistics_.refusals.at("503 queue_full"), 1u);
    EXPECT_EQ(statistics_.reasons.at("503 queue_full without Retry-After"), 1u);
}

TEST_F(Statistics, FailuresCountEvenInTheWarmUp) {
    Answer broken = answer(10'100, 10'200);
    broken.failure = "the connection ended within the answer";
    EXPECT_EQ(take(job(10'000), broken, 10'300), Outcome::kFailed);
    Answer silent;
    silent.status = 200;
    EXPECT_EQ(take(job(10'000), silent, 10'300), Outcome::kFailed) << "no usage";
    EXPECT_EQ(take(job(10'000), answer(1, 2, 9), 10'300), Outcome::kFailed) << "a token is missing";
    EXPECT_EQ(take(job(10'000), answer(1, 2, 11), 10'300), Outcome::kFailed) << "one too many";
    EXPECT_EQ(statistics_.errors, 4u);
    EXPECT_EQ(statistics_.failed, 0u) << "none of them within the window";
}

TEST_F(Statistics, AShortAnswerIsFineWhenTheContextIsFullOrTimeWasShort) {
    StageStatistics small(stage(), 10'000 * kMs, {.context = 29, .timeout_asked = false});
    EXPECT_EQ(small.take(job(11'000), answer(11'001, 11'002, 9), 11'002 * kMs, {}),
              Outcome::kAnswered);
    EXPECT_EQ(small.take(job(11'000), answer(11'001, 11'002, 8), 11'002 * kMs, {}),
              Outcome::kFailed);
    StageStatistics timed(stage(), 10'000 * kMs, {.context = 29, .timeout_asked = true});
    EXPECT_EQ(timed.take(job(11'000), answer(11'001, 11'002, 2), 11'002 * kMs, {}),
              Outcome::kAnswered);
    EXPECT_EQ(timed.take(job(11'000), refusal(408), 11'002 * kMs, {}), Outcome::kRefused);
}

TEST_F(Statistics, RetriesAreFollowed) {
    take(job(11'000), refusal(503), 11'001);
    take(job(11'000), refusal(503), 11'001);
    take(job(11'100, 0, 1), answer(11'110, 11'120), 11'120);
    take(job(11'100, 1, 1), refusal(503), 11'101);
    take(job(11'200, 1, 2), answer(11'210, 11'220), 11'220);
    EXPECT_EQ(statistics_.retry.refused_first, 2u);
    EXPECT_EQ(statistics_.retry.retried_first, 2u);
    EXPECT_EQ(statistics_.retry.accepted_first, 1u) << "the other one was accepted later";
    EXPECT_EQ(statistics_.answered, 2u);
    EXPECT_EQ(statistics_.refused, 3u);
}

TEST_F(Statistics, JainsIndexOfClients) {
    EXPECT_EQ(statistics_.client_fairness(), 0) << "nobody got anything";
    take(job(11'100, 0), answer(11'110, 11'120), 11'120);
    EXPECT_DOUBLE_EQ(statistics_.client_fairness(), 0.5) << "one of two got all";
    take(job(11'100, 1), answer(11'110, 11'120), 11'120);
    EXPECT_DOUBLE_EQ(statistics_.client_fairness(), 1);
}

TEST_F(Statistics, ClassesGetTheirOwn) {
    const size_t first = statistics_.add_class("short");
    const size_t second = statistics_.add_class("long");
    const size_t classes[] = {second};
    statistics_.take(job(11'100), answer(11'140, 11'230), 11'200 * kMs, classes);
    EXPECT_EQ(statistics_.classes[first].first_text.count(), 0u);
    EXPECT_EQ(statistics_.classes[second].first_text.max_ms(), 40);
    EXPECT_EQ(statistics_.classes[second].per_token.max_ms(), 10) << "100 ms for 10 tokens";
}

TEST_F(Statistics, ReasonsWithoutEndAreGathered) {
    for (int i = 0; i < 100; ++i)
        statistics_.fail("reason " + std::to_string(i));
    EXPECT_EQ(statistics_.errors, 100u);
    EXPECT_EQ(statistics_.reasons.size(), StageStatistics::kReasonsMax + 1);
    EXPECT_EQ(statistics_.reasons.at("others"), 100 - StageStatistics::kReasonsMax);
}

TEST(SameTexts, TheFirstAnswerIsTheOne) {
    SameTexts same(3);
    EXPECT_EQ(same.repeated(7), 1u);
    same.compare(1, "abcdef");
    same.compare(2, "x");
    same.compare(1, "abcdef");
    EXPECT_EQ(same.compared(), 1u);
    EXPECT_EQ(same.differences(), 0u);
    same.compare(1, "abcxef");
    same.compare(1, "abc");
    EXPECT_EQ(same.differences(), 2u);
    EXPECT_EQ(same.first_difference(), "request 1, from byte 3: first \"def\", later \"xef\"");
    EXPECT_EQ(SameTexts(0).repeated(7), 7u);
}

}  // namespace
}  // namespace bitnetd::bench
