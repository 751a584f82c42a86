// Goal: a chunked body has one reading, and no sender can make it cost more than its bounds.
// Method: tables of bodies, each decoded in one piece and byte by byte; wrong ones differ from a
// right one in one place.
#include "supervisor/frontend/http/chunked_decoder.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace bitnetd::frontend::http {
namespace {

using Outcome = ChunkedDecoder::Outcome;

struct Decoded {
    Outcome outcome;
    std::string body;
    size_t taken;
    int status = 0;
    std::string message;
};

Decoded decode(const std::string& bytes, size_t step, const Limits& limits = {}) {
    ChunkedDecoder decoder(limits);
    Decoded result{};
    std::string kept;
    for (size_t at = 0; at < bytes.size() && decoder.outcome() == Outcome::kIncomplete;
         at += step) {
        kept += bytes.substr(at, step);
        const size_t taken = decoder.decode(kept, result.body);
        EXPECT_LE(taken, kept.size());
        kept.erase(0, taken);
        result.taken += taken;
    }
    result.outcome = decoder.outcome();
    if (result.outcome == Outcome::kRefused) {
        result.status = decoder.refusal().status;
        result.message = decoder.refusal().message;
    }
    return result;
}

TEST(ChunkedDecoder, AcceptsAndStopsAtTheEnd) {
    const std::vector<std::pair<std::string, std::string>> table = {
        {"0\r\n\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"00005\r\nhello\r\n000\r\n\r\n", "hello"},
        {"1\r\na\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "a01234567890123456789"},
        {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
        {"3;a\r\nabc\r\n0;b=c;d=\"e; \\\" f\"\r\n\r\n", "abc"},
        {"3\r\nabc\r\n0\r\nX-Checksum: 1\r\nY:\r\n\r\n", "abc"},
    };
    for (const auto& [bytes, body] : table) {
        for (const size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{1000}}) {
            const Decoded got = decode(bytes + "GET /", step);
            EXPECT_EQ(got.outcome, Outcome::kComplete) << bytes << got.message;
            EXPECT_EQ(got.body, body);
            EXPECT_EQ(got.taken, bytes.size()) << "what follows is the next request's";
        }
    }
}

TEST(ChunkedDecoder, Refuses) {
    using namespace refusals;
    const std::vector<std::pair<std::string, const Refusal*>> table = {
        {"5\nhello\r\n0\r\n\r\n", &kBareLf},
        {"5\rhello", &kBareCr},
        {"5\r\nhello\n0\r\n\r\n", &kChunkEnd},
        {"5\r\nhello\r0\r\n\r\n", &kChunkEnd},
        {"5\r\nhello!\r\n0\r\n\r\n", &kChunkEnd},
        {"5\r\nhello0\r\n\r\n", &kChunkEnd},
        {"\r\nhello", &kChunkSize},
        {"g\r\n", &kChunkSize},
        {"-5\r\n", &kChunkSize},
        {"+5\r\nhello\r\n", &kChunkSize},
        {"0x5\r\nhello\r\n", &kChunkSize},
        {"5 \r\nhello\r\n", &kChunkSize},
        {"5\t;a\r\nhello\r\n", &kChunkSize},
        {" 5\r\nhello\r\n", &kChunkSize},
        {std::string("5\0\r\nhello\r\n", 11), &kChunkSize},
        {"5,\r\nhello\r\n", &kChunkSize},
        {"ffffffffffffffff\r\n", &kChunkSize},
        {"10000000000000005\r\nhello\r\n", &kChunkSize},
        {"00000000000000000005\r\nhello\r\n", &kChunkSize},
        {"5;\r\nhello\r\n", &kChunkExtension},
        {"5;a=\r\nhello\r\n", &kChunkExtension},
        {"5;a=\"b\r\nhello\r\n", &kChunkExtension},
        {"5;a=\"b\\\"\r\nhello\r\n", &kChunkExtension},
        {"5; a\r\nhello\r\n", &kChunkExtension},
        {"5;a b\r\nhello\r\n", &kChunkExtension},
        {"5;a\nb\r\n", &kBareLf},
        {"5;" + std::string(600, 'a'), &kChunkExtension},
        {std::string(600, '0'), &kChunkExtension},
        {"7fffffff\r\n", &kBodyTooLarge},
        {"0\r\nContent-Length: 3\r\n\r\n", &kTrailerField},
        {"0\r\nX: y\n\r\n", &kBareLf},
        {"0\r\n folded\r\n\r\n", &kFoldedLine},
        {"0\r\nX: " + std::string(70'000, 'y'), &kHeadTooLarge},
    };
    for (const auto& [bytes, why] : table) {
        for (const size_t step : {size_t{1}, size_t{7}, bytes.size()}) {
            const Decoded got = decode(bytes, step);
            EXPECT_EQ(got.outcome, Outcome::kRefused) << bytes;
            EXPECT_EQ(got.message, why->message) << bytes;
            EXPECT_EQ(got.status, why->status) << bytes;
        }
    }
}

TEST(ChunkedDecoder, BoundsTheBodyBeforeItComes) {
    Limits limits;
    limits.body_bytes_max = 10;
    EXPECT_EQ(decode("6\r\nabcdef\r\n4\r\nabcd\r\n0\r\n\r\n", 1, limits).body, "abcdefabcd");
    const Decoded over = decode("6\r\nabcdef\r\n5\r\n", 1, limits);
    EXPECT_EQ(over.status, 413);
    EXPECT_EQ(over.body, "abcdef");
}

TEST(ChunkedDecoder, BoundsAllExtensionsTogether) {
    const std::string chunk = "1;" + std::string(500, 'e') + "\r\nx\r\n";
    std::string bytes;
    for (int i = 0; i < 200; ++i)
        bytes += chunk;
    const Decoded got = decode(bytes, 4096);
    EXPECT_EQ(got.message, refusals::kChunkExtension.message);
    EXPECT_EQ(got.body.size(), 64u * 1024 / 501);
}

}  // namespace
}  // namespace bitnetd::frontend::http
