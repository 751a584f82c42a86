// Goal: a head is accepted only when every careful reader would read it the same way.
// Method: a table of heads with the refusal each must get, each given in one piece and byte by
// byte; the cases are the known smuggling tricks, one deviation each from a head that is accepted.
#include "supervisor/frontend/http/head_scanner.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bitnetd::frontend::http {
namespace {

using Outcome = HeadScanner::Outcome;

struct Verdict {
    Outcome outcome = Outcome::kIncomplete;
    int status = 0;
    std::string message = {};
    size_t at = 0;  // bytes given when the verdict was reached
};

Verdict scan_in_steps(const std::string& bytes, size_t step, const Limits& limits = {},
                      HeadScanner::Part part = HeadScanner::Part::kHead) {
    HeadScanner scanner(limits, part);
    for (size_t end = 0; end < bytes.size();) {
        end = std::min(end + step, bytes.size());
        const Outcome outcome = scanner.scan(std::string(bytes, 0, end));
        if (outcome == Outcome::kRefused) {
            return {outcome, scanner.refusal().status, std::string(scanner.refusal().message), end};
        }
        if (outcome == Outcome::kComplete) return {outcome, 0, "", scanner.head().bytes};
    }
    return {};
}

struct Bad {
    const char* what;
    std::string bytes;
    const Refusal& why;
};

std::string post(const std::string& fields) {
    return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

std::string get(const std::string& fields) {
    return "GET / HTTP/1.1\r\n" + fields + "\r\n";
}

const std::vector<Bad>& lines_and_characters() {
    using namespace refusals;
    static const std::vector<Bad> table = {
        {"bare LF behind the start line", "GET / HTTP/1.1\nHost: a\r\n\r\n", kBareLf},
        {"bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", kBareLf},
        {"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", kBareLf},
        {"bare CR in the start line", "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", kBareCr},
        {"bare CR in a value", get("Host: a\r\nX: b\rTransfer-Encoding: chunked\r\n"), kBareCr},
        {"CR CR LF", get("Host: a\r\r\n"), kBareCr},
        {"CR behind a name", get("Host: a\r\nX\r: b\r\n"), kBareCr},
        {"NUL in a value", get(std::string("Host: a\r\nX: b\0c\r\n", 17)), kControlCharacter},
        {"NUL in the target", std::string("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28),
         kControlCharacter},
        {"vertical tab before a coding", post("Transfer-Encoding: \vchunked\r\n"),
         kControlCharacter},
        {"form feed before a coding", post("Transfer-Encoding:\fchunked\r\n"), kControlCharacter},
        {"DEL in a value", get("Host: a\r\nX: \x7f\r\n"), kControlCharacter},
        {"escape character", get("Host: a\r\nX: \x1b[0m\r\n"), kControlCharacter},
        {"folded line with a blank", get("Host: a\r\nX: b\r\n c\r\n"), kFoldedLine},
        {"folded line with a tab", get("Host: a\r\nX:\r\n\tb\r\n"), kFoldedLine},
        {"folded coding", post("Transfer-Encoding:\r\n\tchunked\r\n"), kCodingEmpty},
        {"first field folded", get(" Host: a\r\n"), kFoldedLine},
        {"blank before the colon", post("Transfer-Encoding : chunked\r\n"), kSpaceBeforeColon},
        {"tab before the colon", post("Content-Length\t: 3\r\n"), kSpaceBeforeColon},
        {"blank inside a name", get("Host: a\r\nX Y: b\r\n"), kFieldName},
        {"non-ASCII name", get("Host: a\r\nX\xc3\xa9: b\r\n"), kFieldName},
        {"brackets in a name", get("Host: a\r\nX[]: b\r\n"), kFieldName},
        {"empty name", get("Host: a\r\n: b\r\n"), kEmptyFieldName},
        {"no colon", get("Host: a\r\nNonsense\r\n"), kFieldWithoutColon},
    };
    return table;
}

const std::vector<Bad>& start_lines() {
    using namespace refusals;
    static const std::string host = "\r\nHost: a\r\n\r\n";
    static const std::vector<Bad> table = {
        {"empty", "\r\n" + host, kStartLine},
        {"HTTP/0.9", "GET /" + host, kStartLine},
        {"leading blank", " GET / HTTP/1.1" + host, kStartLine},
        {"trailing blank", "GET / HTTP/1.1 " + host, kStartLine},
        {"tab as separator", "GET\t/\tHTTP/1.1" + host, kStartLine},
        {"two blanks", "GET  / HTTP/1.1" + host, kStartLine},
        {"blank in the target", "GET /a b HTTP/1.1" + host, kStartLine},
        {"lower-case version", "GET / http/1.1" + host, kStartLine},
        {"another protocol", "GET / RTSP/1.0" + host, kStartLine},
        {"version without minor", "GET / HTTP/1" + host, kStartLine},
        {"version with many digits", "GET / HTTP/1.10" + host, kStartLine},
        {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", kVersion},
        {"HTTP/1.2", "GET / HTTP/1.2" + host, kVersion},
        {"HTTP/3.0", "GET / HTTP/3.0" + host, kVersion},
        {"HTTP/0.9 by name", "GET / HTTP/0.9" + host, kVersion},
        {"unknown method", "BREW / HTTP/1.1" + host, kMethod},
        {"lower-case method", "get / HTTP/1.1" + host, kMethod},
        {"CONNECT", "CONNECT a:443 HTTP/1.1" + host, kMethod},
        {"TRACE", "TRACE / HTTP/1.1" + host, kMethod},
        {"method is no token", "G@T / HTTP/1.1" + host, kStartLine},
        {"TLS handshake", "\x16\x03\x01", kControlCharacter},
        {"relative target", "GET a HTTP/1.1" + host, kTarget},
        {"empty target", "GET  HTTP/1.1" + host, kTarget},
        {"asterisk without OPTIONS", "GET * HTTP/1.1" + host, kTarget},
        {"fragment", "GET /a#b HTTP/1.1" + host, kTarget},
        {"half a percent code", "GET /%4 HTTP/1.1" + host, kTarget},
        {"no hexadecimal digits", "GET /%zz HTTP/1.1" + host, kTarget},
        {"non-ASCII target", "GET /\xc3\xa9 HTTP/1.1" + host, kTarget},
        {"backslash", "GET /\\a HTTP/1.1" + host, kTarget},
        {"foreign scheme", "GET ftp://a/ HTTP/1.1" + host, kTarget},
        {"no authority", "GET http:///x HTTP/1.1" + host, kTarget},
        {"user in the authority", "GET http://u@a/ HTTP/1.1" + host, kTarget},
        {"other authority than Host", "GET http://b/ HTTP/1.1" + host, kHostDiffers},
    };
    return table;
}

const std::vector<Bad>& framing() {
    using namespace refusals;
    static const std::vector<Bad> table = {
        {"no Host", get("X: b\r\n"), kHostMissing},
        {"two Hosts", get("Host: a\r\nHost: b\r\n"), kHostRepeated},
        {"two equal Hosts", get("Host: a\r\nHost: a\r\n"), kHostRepeated},
        {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", kHostRepeated},
        {"Host with a blank", get("Host: a b\r\n"), kHostInvalid},
        {"Host with a path", get("Host: a/b\r\n"), kHostInvalid},
        {"Host with a user", get("Host: u@a\r\n"), kHostInvalid},
        {"CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"), kCodingAndLength},
        {"TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"), kCodingAndLength},
        {"CL with an unknown coding", post("Content-Length: 6\r\nTransfer-Encoding: x\r\n"),
         kCodingAndLength},
        {"TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
         kCodingRepeated},
        {"TE.TE reversed", post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"),
         kCodingRepeated},
        {"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
         kCodingRepeated},
        {"empty coding", post("Transfer-Encoding: \r\n"), kCodingEmpty},
        {"gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n"), kCoding},
        {"chunked, identity", post("Transfer-Encoding: chunked, identity\r\n"), kCoding},
        {"chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n"), kCoding},
        {"chunked with a comma", post("Transfer-Encoding: ,chunked\r\n"), kCoding},
        {"xchunked", post("Transfer-Encoding: xchunked\r\n"), kCoding},
        {"chunked with a parameter", post("Transfer-Encoding: chunked;q=1\r\n"), kCoding},
        {"quoted chunked", post("Transfer-Encoding: \"chunked\"\r\n"), kCoding},
        {"obs-text behind chunked", post("Transfer-Encoding: chunked\xa0\r\n"), kCoding},
        {"identity", post("Transfer-Encoding: identity\r\n"), kCoding},
        {"coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
         kCodingInHttp10},
        {"two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n"), kLengthRepeated},
        {"two equal lengths", post("Content-Length: 3\r\ncontent-length: 3\r\n"), kLengthRepeated},
        {"list of lengths", post("Content-Length: 3, 3\r\n"), kLengthInvalid},
        {"signed length", post("Content-Length: +3\r\n"), kLengthInvalid},
        {"negative length", post("Content-Length: -1\r\n"), kLengthInvalid},
        {"hexadecimal length", post("Content-Length: 0x3\r\n"), kLengthInvalid},
        {"length with a blank", post("Content-Length: 3 3\r\n"), kLengthInvalid},
        {"fractional length", post("Content-Length: 3.0\r\n"), kLengthInvalid},
        {"empty length", post("Content-Length:\r\n"), kLengthInvalid},
    };
    return table;
}

class Refused : public testing::TestWithParam<const std::vector<Bad>& (*)()> {};

TEST_P(Refused, InOnePieceAndByteByByte) {
    for (const Bad& bad : GetParam()()) {
        const Verdict whole = scan_in_steps(bad.bytes, bad.bytes.size());
        EXPECT_EQ(whole.outcome, Outcome::kRefused) << bad.what;
        EXPECT_EQ(whole.message, bad.why.message) << bad.what;
        EXPECT_EQ(whole.status, bad.why.status) << bad.what;
        const Verdict cut = scan_in_steps(bad.bytes, 1);
        EXPECT_EQ(cut.outcome, Outcome::kRefused) << bad.what;
        EXPECT_EQ(cut.message, bad.why.message) << bad.what;
    }
}

INSTANTIATE_TEST_SUITE_P(HeadScanner, Refused,
                         testing::Values(lines_and_characters, start_lines, framing));

TEST(HeadScanner, RefusesAsSoonAsTheBadByteIsThere) {
    const Verdict verdict = scan_in_steps("GET / HTTP/1.1\nHost: a", 1);
    EXPECT_EQ(verdict.outcome, Outcome::kRefused);
    EXPECT_EQ(verdict.at, 15u);
}

TEST(HeadScanner, AcceptsWhatIsWellFormed) {
    for (const std::string& bytes : std::vector<std::string>{
             get("Host: a\r\n"),
             get("Host:a\r\n"),
             get("Host:\t a \t\r\n"),
             get("Host: [::1]:8080\r\n"),
             get("Host:\r\n"),
             get("Host: a\r\nX:\r\n"),
             get("Host: a\r\nX: caf\xc3\xa9 \"quoted\" \\ tab\there\r\n"),
             "GET /a%20b?c=[d]&e=f HTTP/1.1\r\nHost: a\r\n\r\n",
             "GET http://a/x?y HTTP/1.1\r\nHost: A\r\n\r\n",
             "GET HTTPS://a:80?y HTTP/1.1\r\nHost: a:80\r\n\r\n",
             "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
             "GET / HTTP/1.0\r\n\r\n",
             post("Content-Length: 0005\r\n"),
             post("tRANSFER-eNCODING: ChunKed \r\n"),
         }) {
        const Verdict verdict = scan_in_steps(bytes, bytes.size());
        EXPECT_EQ(verdict.outcome, Outcome::kComplete) << bytes << verdict.message;
        EXPECT_EQ(verdict.at, bytes.size());
        EXPECT_EQ(scan_in_steps(bytes, 1).at, bytes.size());
    }
}

TEST(HeadScanner, StopsBehindTheEmptyLine) {
    const std::string head = get("Host: a\r\n");
    EXPECT_EQ(scan_in_steps(head + "GET /next HTTP/1.1\n", 1000).at, head.size());
}

TEST(HeadScanner, TellsWhatTheConnectionNeeds) {
    const Limits limits;
    HeadScanner scanner(limits);
    ASSERT_EQ(scanner.scan("PUT /x HTTP/1.0\r\nConnection: foo, Keep-Alive\r\nConnection: CLOSE\r\n"
                           "Content-Length: 123456789012345678\r\nExpect: 100-Continue\r\n\r\n"),
              Outcome::kComplete);
    const Head& head = scanner.head();
    EXPECT_EQ(head.method, Method::kPut);
    EXPECT_EQ(head.minor_version, 0);
    EXPECT_TRUE(head.wants_keep_alive);
    EXPECT_TRUE(head.wants_close);
    EXPECT_TRUE(head.expects_continue);
    EXPECT_FALSE(head.expects_other);
    EXPECT_FALSE(head.chunked);
    EXPECT_EQ(head.content_length, 123456789012345678u);

    scanner.reset();
    ASSERT_EQ(scanner.scan(post("Content-Length: 99999999999999999999\r\nExpect: coffee\r\n")),
              Outcome::kComplete);
    EXPECT_EQ(scanner.head().content_length, UINT64_MAX);
    EXPECT_TRUE(scanner.head().expects_other);
    EXPECT_FALSE(scanner.head().wants_close);
}

// Both sides of each limit, in one piece and byte by byte.
TEST(HeadScanner, Limits) {
    Limits limits;
    limits.start_line_bytes_max = 30;
    limits.head_bytes_max = 80;
    limits.fields_max = 3;
    const auto expect = [&](const std::string& bytes, int status) {
        for (const size_t step : {bytes.size(), size_t{1}, size_t{7}}) {
            EXPECT_EQ(scan_in_steps(bytes, step, limits).status, status) << bytes;
        }
    };
    const auto start_line = [](size_t bytes) {
        return "GET /" + std::string(bytes - 14, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    };
    expect(start_line(30), 0);
    expect(start_line(31), 414);
    expect("GET /" + std::string(100, 'x'), 414);  // no need to see its end
    const auto head = [](size_t bytes) {
        return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(bytes - 28, 'x') + "\r\n\r\n";
    };
    expect(head(78), 0);
    expect(head(81), 431);
    expect("GET / HTTP/1.1\r\nX: " + std::string(100, 'x'), 431);
    expect(get("Host: a\r\nA: b\r\nA: b\r\n"), 0);
    expect(get("Host: a\r\nA: b\r\nA: b\r\nA: b\r\n"), 431);
}

TEST(HeadScanner, DefaultsAllowAHundredFields) {
    std::string fields = "Host: a\r\n";
    for (int i = 0; i < 99; ++i)
        fields += "X-" + std::to_string(i) + ": " + std::string(500, 'v') + "\r\n";
    EXPECT_EQ(scan_in_steps(get(fields), 4096).outcome, Outcome::kComplete);
}

TEST(HeadScanner, Trailers) {
    constexpr auto kTrailers = HeadScanner::Part::kTrailers;
    EXPECT_EQ(scan_in_steps("\r\n", 1, {}, kTrailers).at, 2u);
    EXPECT_EQ(scan_in_steps("X: y\r\n\r\nGET", 1, {}, kTrailers).at, 8u);
    for (const char* field : {"Content-Length: 3", "transfer-encoding: chunked", "Host: b"}) {
        const Verdict verdict = scan_in_steps(std::string(field) + "\r\n\r\n", 1, {}, kTrailers);
        EXPECT_EQ(verdict.message, refusals::kTrailerField.message) << field;
    }
    EXPECT_EQ(scan_in_steps("X: y\n\r\n", 1, {}, kTrailers).message, refusals::kBareLf.message);
    EXPECT_EQ(scan_in_steps(std::string(70'000, 'x'), 1000, {}, kTrailers).status, 431);
}

}  // namespace
}  // namespace bitnetd::frontend::http
