// Goal: the deltas of a stream, however cut, concatenate to the text up to the first completed stop
// string, and nothing that may still become one is sent. Method: random texts over a tiny alphabet,
// random stop sets and cuts, against a search in the whole text. Prints its seed.
#include <gtest/gtest.h>

#include <random>

#include "common/text/stop_matcher.h"

namespace bitnetd::text {
namespace {

struct Expected {
    std::string text;
    bool stopped = false;
};

// The definition: the match with the smallest end; of several, the longest.
Expected search(const std::string& text, const std::vector<std::string>& stops) {
    size_t best_end = std::string::npos;
    size_t best_begin = 0;
    for (const std::string& stop : stops) {
        const size_t begin = stop.empty() ? std::string::npos : text.find(stop);
        if (begin == std::string::npos) continue;
        const size_t end = begin + stop.size();
        if (best_end == std::string::npos || end < best_end ||
            (end == best_end && begin < best_begin)) {
            best_end = end;
            best_begin = begin;
        }
    }
    if (best_end == std::string::npos) return {text, false};
    return {text.substr(0, best_begin), true};
}

std::string random_text(std::mt19937& random, size_t bytes_max) {
    std::string text(random() % (bytes_max + 1), 'a');
    for (char& c : text)
        c = "abc"[random() % 3];
    return text;
}

bool is_proper_beginning(const std::string& text, const std::vector<std::string>& stops) {
    for (const std::string& stop : stops) {
        if (text.size() < stop.size() && stop.starts_with(text)) return true;
    }
    return false;
}

TEST(StopMatcher, EveryCuttingGivesTheSameText) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (int round = 0; round < 20'000; ++round) {
        std::vector<std::string> stops(random() % 5);
        for (std::string& stop : stops)
            stop = random_text(random, 6);
        const std::string text = random_text(random, 40);
        const Expected expected = search(text, stops);

        StopMatcher matcher(stops);
        std::string out;
        bool stopped = false;
        for (size_t at = 0; at < text.size() && !stopped;) {
            const size_t bytes = 1 + random() % 5;
            stopped = matcher.push(std::string_view(text).substr(at, bytes), out);
            at = std::min(at + bytes, text.size());
            if (stopped) break;
            const std::string held = text.substr(out.size(), at - out.size());
            EXPECT_EQ(out, text.substr(0, out.size()));
            EXPECT_TRUE(held.empty() || is_proper_beginning(held, stops)) << "held without need";
        }
        if (!stopped) matcher.flush(out);
        ASSERT_EQ(stopped, expected.stopped) << text;
        ASSERT_EQ(out, expected.text) << text;
        ASSERT_EQ(matcher.matched().has_value(), stopped);
    }
}

TEST(StopMatcher, SaysWhichStringMatched) {
    StopMatcher matcher({"", "END", "ND"});
    std::string out;
    EXPECT_FALSE(matcher.push("the E", out));
    EXPECT_EQ(out, "the ");
    EXPECT_TRUE(matcher.push("ND of it", out));
    EXPECT_EQ(out, "the ");
    EXPECT_EQ(matcher.matched(), 1u);  // both end here; the longer one
    EXPECT_TRUE(matcher.push("more", out));
    EXPECT_EQ(out, "the ");
}

TEST(StopMatcher, WithoutStringsNothingIsHeld) {
    StopMatcher matcher({});
    std::string out;
    EXPECT_FALSE(matcher.push("text", out));
    EXPECT_EQ(out, "text");
}

}  // namespace
}  // namespace bitnetd::text
