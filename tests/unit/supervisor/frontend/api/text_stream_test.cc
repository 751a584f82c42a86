// Goal: tokens become the same text however they are cut, with every stop set; characters and stop
//   strings may span tokens; logprobs stay with their text.
// Method: literal cases, then random texts over a small alphabet against a plain search (printed
// seed;
//   BITNETD_SEED replays it).
#include "supervisor/frontend/api/text_stream.h"

#include <algorithm>
#include <random>

#include "tests/unit/supervisor/frontend/api/api_fixture.h"

namespace bitnetd::frontend {
namespace {

struct Outcome {
    std::string text;
    bool stopped = false;
    size_t tokens = 0;
    std::vector<ScoredToken> scores;
};

Outcome run(const Model& model, const Ids& ids, const std::vector<std::string>& stops) {
    TextStream stream(model.vocabulary(), stops, /*keeps_scores=*/true);
    Outcome outcome;
    for (const uint32_t id : ids) {
        ++outcome.tokens;
        outcome.stopped = stream.push(id, 0, {}, outcome.text);
        for (ScoredToken& score : stream.take_scores())
            outcome.scores.push_back(std::move(score));
        if (outcome.stopped) return outcome;
    }
    stream.finish(outcome.text);
    for (ScoredToken& score : stream.take_scores())
        outcome.scores.push_back(std::move(score));
    return outcome;
}

class TextStreamTest : public testing::Test {
  protected:
    std::shared_ptr<const Model> model_ = make_test_model();
};

TEST_F(TextStreamTest, CharactersOverTokens) {
    TextStream stream(model_->vocabulary(), {}, true);
    std::string out;
    const std::string smile = "\U0001F600";
    for (size_t i = 0; i < 3; ++i) {
        EXPECT_FALSE(stream.push(static_cast<uint8_t>(smile[i]), 0, {}, out));
        EXPECT_EQ(out, "");
    }
    stream.push(static_cast<uint8_t>(smile[3]), 0, {}, out);
    EXPECT_EQ(out, smile);
    const auto scores = stream.take_scores();
    ASSERT_EQ(scores.size(), 4u) << "each of its tokens has an entry";
    EXPECT_EQ(scores[0].text, "");
    EXPECT_EQ(scores[3].text, smile);
    stream.push(0xE2, 0, {}, out);
    stream.finish(out);
    EXPECT_EQ(out, smile + "\xEF\xBF\xBD");
}

TEST_F(TextStreamTest, ControlTokensHaveNoText) {
    const Outcome outcome = run(*model_, {'a', kBot, 'b'}, {});
    EXPECT_EQ(outcome.text, "ab");
}

TEST_F(TextStreamTest, TheStopThatCompletesFirstWins) {
    EXPECT_EQ(run(*model_, bytes_as_ids("xabcd"), {"abcd", "bc"}).text, "xa");
    EXPECT_EQ(run(*model_, bytes_as_ids("xabab!"), {"abac"}).text, "xabab!");
    const Outcome inside = run(*model_, {'x', kHello, 'y'}, {"ll"});
    EXPECT_EQ(inside.text, "xhe") << "in the middle of a token";
    EXPECT_TRUE(inside.stopped);
    EXPECT_EQ(inside.tokens, 2u);
    ASSERT_EQ(inside.scores.size(), 2u) << "a token that gave text is kept";
}

TEST_F(TextStreamTest, RandomTextsAndStops) {
    const char* fixed = std::getenv("BITNETD_SEED");
    const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
    SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    const std::vector<uint32_t> pieces = {'a', 'b', 'a', 'b', kHello, 'h', 'e', 'l', 0xC3, 0xB6};
    for (int round = 0; round < 3000; ++round) {
        Ids ids(random() % 40);
        for (uint32_t& id : ids)
            id = pieces[random() % pieces.size()];
        std::vector<std::string> stops(random() % 4);
        for (std::string& stop : stops) {
            const size_t count = 1 + random() % 4;
            for (size_t i = 0; i < count; ++i)
                stop += "abhelo"[random() % 6];
        }
        const std::string whole = run(*model_, ids, {}).text;
        // The match that ends first; of those, the longest.
        size_t best_end = std::string::npos;
        size_t best_begin = 0;
        for (const std::string& stop : stops) {
            const size_t at = whole.find(stop);
            if (at == whole.npos) continue;
            const size_t end = at + stop.size();
            if (best_end == whole.npos || end < best_end || (end == best_end && at < best_begin)) {
                best_end = end;
                best_begin = at;
            }
        }
        const Outcome outcome = run(*model_, ids, stops);
        ASSERT_EQ(outcome.stopped, best_end != whole.npos);
        ASSERT_EQ(outcome.text, outcome.stopped ? whole.substr(0, best_begin) : whole);
        std::string scored;
        for (const ScoredToken& score : outcome.scores)
            scored += score.text;
        ASSERT_TRUE(scored.starts_with(outcome.text) || outcome.text.starts_with(scored));
        ASSERT_LE(outcome.text.size(), scored.size() + 3);
    }
}

class DeltasTest : public ApiTest {};

// The same tokens in random batches, streamed and whole: the same text and finish_reason.
TEST_F(DeltasTest, StreamedDeltasEqualTheWholeText) {
    const char* fixed = std::getenv("BITNETD_SEED");
    const uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 10) : std::random_device{}();
    SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    add_worker(64);
    for (int round = 0; round < 200; ++round) {
        Json stops = Json::array();
        for (size_t i = random() % 3; i > 0; --i) {
            stops.push_back(std::string(1 + random() % 3, "ab"[random() % 2]));
        }
        std::string text;
        for (size_t i = 0; i < 30; ++i)
            text += random() % 4 == 0 ? "ö" : random() % 2 ? "a" : "b";
        FakeExchange* exchanges[2];
        for (const bool stream : {false, true}) {
            const size_t submission = worker_->submissions.size();
            FakeExchange& exchange = complete(
                {{"prompt", "x"}, {"stop", stops}, {"stream", stream}, {"max_tokens", 60}});
            exchanges[stream] = &exchange;
            Ids left = bytes_as_ids(text);
            while (!left.empty() && !exchange.answered()) {
                const size_t count = std::min<size_t>(left.size(), 1 + random() % 6);
                const Ids batch(left.begin(), left.begin() + static_cast<ptrdiff_t>(count));
                left.erase(left.begin(), left.begin() + static_cast<ptrdiff_t>(count));
                produce(submission, batch,
                        left.empty() ? shm::Finish::kLength : shm::Finish::kNone);
            }
            ASSERT_TRUE(exchange.answered());
        }
        const Json whole = exchanges[0]->body()["choices"][0];
        ASSERT_EQ(exchanges[1]->streamed_text(), whole["text"]) << stops << text;
        const auto events = exchanges[1]->events();
        ASSERT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], whole["finish_reason"]);
    }
}

}  // namespace
}  // namespace bitnetd::frontend
