// Goal: the generator believes what a server says, however the bytes are cut, and nothing else:
// text, times, usage, refusals, and every way in which an answer can be broken. Method: answers as
// bitnetd writes them, fed whole, byte by byte and cut at every place.
#include "tests/bench/serve/answer_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bitnetd::bench {
namespace {

std::vector<std::string> data_lines(SseReader& reader, std::string_view piece) {
    std::vector<std::string> lines;
    while (const auto data = reader.next(piece))
        lines.emplace_back(*data);
    return lines;
}

TEST(SseReader, LinesHoweverTheyAreCut) {
    const std::string stream =
        ": ping\n\ndata: one\n\nevent: token\ndata:two\r\n\r\nid: 3\ndata:  three\n\ndata\n\ndata: "
        "\n\n";
    const std::vector<std::string> expected = {"one", "two", " three", ""};
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
        SseReader reader;
        auto lines = data_lines(reader, std::string_view(stream).substr(0, cut));
        for (auto& line : data_lines(reader, std::string_view(stream).substr(cut)))
            lines.push_back(line);
        EXPECT_EQ(lines, expected) << "cut at " << cut;
    }
}

TEST(SseReader, AnEndlessLineIsNotKept) {
    SseReader reader;
    const std::string much(SseReader::kLineBytesMax / 2 + 1, 'x');
    EXPECT_TRUE(data_lines(reader, much).empty());
    EXPECT_FALSE(reader.is_broken());
    EXPECT_TRUE(data_lines(reader, much).empty());
    EXPECT_TRUE(reader.is_broken());
    reader.reset();
    EXPECT_EQ(data_lines(reader, "data: a\n"), std::vector<std::string>{"a"});
}

constexpr const char* kEvents[] = {
    R"(data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null})",
    R"(data: {"id":"c","choices":[{"index":0,"delta":{"content":"He\"l"}}],"usage":null})",
    ": ping",
    R"(data: {"id":"c","choices":[{"index":0,"text":"lo \\"}],"usage":null})",
    R"(data: {"id":"c","choices":[{"index":0,"text":"","finish_reason":"length"}],"usage":null})",
    R"(data: {"id":"c","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}})",
    "data: [DONE]",
};
constexpr const char* kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string chunk(const std::string& bytes) {
    char length[20];
    std::snprintf(length, sizeof length, "%zx\r\n", bytes.size());
    return length + bytes + "\r\n";
}

std::string stream_answer() {
    std::string out = kStreamHead;
    for (const char* event : kEvents)
        out += chunk(std::string(event) + "\n\n");
    return out + "0\r\n\r\n";
}

TEST(AnswerReader, AStreamCutAnywhere) {
    const std::string bytes = stream_answer();
    AnswerReader reader;
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
        reader.begin(true, nullptr);
        ASSERT_FALSE(reader.feed(std::string_view(bytes).substr(0, cut), 10)) << cut;
        ASSERT_TRUE(reader.feed(std::string_view(bytes).substr(cut), 20)) << cut;
        const Answer& answer = reader.answer();
        ASSERT_EQ(answer.failure, "") << cut;
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.text, R"(He\"llo \\)");
        EXPECT_EQ(answer.text_events, 2u);
        ASSERT_TRUE(answer.usage.has_value());
        EXPECT_EQ(answer.usage->prompt_tokens, 7u);
        EXPECT_EQ(answer.usage->output_tokens, 3u);
        EXPECT_EQ(answer.usage->cached_tokens, 2u);
        EXPECT_TRUE(reader.may_go_on());
    }
}

TEST(AnswerReader, TimesAreThoseOfTextAndNotOfTheRole) {
    AnswerReader reader;
    Histogram gaps;
    reader.begin(false, &gaps);
    uint64_t now_ns = 1'000'000;
    reader.feed(kStreamHead, now_ns);
    for (const char* event : kEvents)
        reader.feed(chunk(std::string(event) + "\n\n"), now_ns += 1'000'000);
    EXPECT_TRUE(reader.feed("0\r\n\r\n", now_ns));
    const Answer& answer = reader.answer();
    EXPECT_EQ(answer.failure, "");
    EXPECT_EQ(answer.first_text_ns, 3'000'000u) << "the second event";
    EXPECT_EQ(answer.last_text_ns, 5'000'000u) << "the fourth";
    EXPECT_EQ(gaps.count(), 1u);
    EXPECT_EQ(gaps.max_ms(), 2.0);
    EXPECT_EQ(answer.text, "") << "nobody asked for it";
}

std::string whole_answer(const std::string& head, const std::string& body) {
    return "HTTP/1.1 " + head + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
}

TEST(AnswerReader, AWholeAnswer) {
    AnswerReader reader;
    reader.begin(true, nullptr);
    const std::string body =
        R"({"choices":[{"text":"a \"text\":\"b\""}],"usage":{"prompt_tokens":1,"completion_tokens":2}})";
    EXPECT_TRUE(reader.feed(whole_answer("200 OK\r\nConnection: close", body), 5));
    EXPECT_EQ(reader.answer().failure, "");
    EXPECT_EQ(reader.answer().text, R"(a \"text\":\"b\")");
    EXPECT_EQ(reader.answer().usage->output_tokens, 2u);
    EXPECT_FALSE(reader.may_go_on());
    EXPECT_EQ(reader.body(), body);
}

TEST(AnswerReader, ARefusalSaysWhenToComeBack) {
    struct Case {
        const char* headers;
        uint64_t expected_ms;
    };
    for (const Case& c : {Case{"Retry-After: 3", 3000}, Case{"retry-AFTER-ms: 250", 250},
                          Case{"Retry-After: 1\r\nretry-after-ms: 250", 250},
                          Case{"retry-after-ms: 250\r\nRetry-After: 1", 250}}) {
        AnswerReader reader;
        reader.begin(false, nullptr);
        const std::string bytes = whole_answer(std::string("503 Busy\r\n") + c.headers,
                                               R"({"error":{"code":"queue_full"}})");
        EXPECT_TRUE(reader.feed(bytes, 5));
        EXPECT_EQ(reader.answer().failure, "");
        EXPECT_EQ(reader.answer().status, 503);
        EXPECT_EQ(reader.answer().error_code, "queue_full");
        EXPECT_EQ(reader.answer().retry_after_ms, c.expected_ms) << c.headers;
    }
    AnswerReader reader;
    reader.begin(false, nullptr);
    EXPECT_TRUE(reader.feed(whole_answer("503 Busy\r\nRetry-After: soon", "{}"), 5));
    EXPECT_FALSE(reader.answer().retry_after_ms.has_value());
}

TEST(AnswerReader, WhatIsBrokenIsAFailure) {
    const std::string event = chunk(std::string(kEvents[1]) + "\n\n");
    const std::string error = chunk("data: {\"error\":{\"code\":\"internal_error\"}}\n\n");
    const std::vector<std::pair<std::string, std::string>> cases = {
        {kStreamHead + event + "0\r\n\r\n", "without [DONE]"},
        {kStreamHead + error, "an error event"},
        {stream_answer() + "x", "bytes behind the end"},
        {kStreamHead + chunk("data: [DONE]\n\ndata: {}\n\n"), "an event behind [DONE]"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed HTTP"},
        {"nonsense\r\n\r\n", "malformed HTTP"},
    };
    for (const auto& [bytes, expected] : cases) {
        AnswerReader reader;
        reader.begin(false, nullptr);
        EXPECT_TRUE(reader.feed(bytes, 1)) << bytes;
        EXPECT_NE(reader.answer().failure.find(expected), std::string::npos)
            << reader.answer().failure << " for " << bytes;
    }
    AnswerReader reader;
    reader.begin(false, nullptr);
    EXPECT_FALSE(reader.feed(kStreamHead + event, 1));
    reader.end();
    EXPECT_EQ(reader.answer().failure, "the connection ended within the answer");
}

TEST(AnswerReader, OneAnswerAfterTheOtherOnOneConnection) {
    AnswerReader reader;
    for (int i = 0; i < 3; ++i) {
        reader.begin(true, nullptr);
        EXPECT_TRUE(reader.feed(stream_answer(), 1));
        EXPECT_EQ(reader.answer().failure, "");
        EXPECT_EQ(reader.answer().text, R"(He\"llo \\)");
        reader.begin(true, nullptr);
        EXPECT_TRUE(reader.feed(whole_answer("404 No", "{}"), 1));
        EXPECT_EQ(reader.answer().status, 404);
        EXPECT_EQ(reader.answer().text, "");
    }
}

}  // namespace
}  // namespace bitnetd::bench
