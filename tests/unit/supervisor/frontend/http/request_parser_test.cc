// Goal: bytes become the requests that were sent, wherever reads cut them.
// Method: a stream of several requests is cut in two at every byte, and into single bytes; what is
// parsed must be equal each time.
#include "supervisor/frontend/http/request_parser.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bitnetd::frontend::http {
namespace {

using State = RequestParser::State;

// Feeds `parts` as reads; describes each request, and the refusal if there was one.
std::vector<std::string> parse_all(const std::vector<std::string>& parts,
                                   const Limits& limits = {}) {
    RequestParser parser(limits);
    std::vector<std::string> seen;
    std::string kept;
    for (const std::string& part : parts) {
        kept += part;
        while (!kept.empty()) {
            const size_t taken = parser.parse(kept);
            EXPECT_LE(taken, kept.size());
            kept.erase(0, taken);
            if (parser.state() == State::kRefused) {
                seen.push_back(std::to_string(parser.refusal().status));
                return seen;
            }
            if (parser.state() != State::kComplete) break;
            const Request& request = parser.request();
            std::string line =
                std::string(to_string(request.method)) + ' ' + request.path + '?' + request.query;
            for (const auto& [name, value] : request.headers)
                line += '|' + name + '=' + value;
            seen.push_back(line + "|" + request.body + (parser.keeps_alive() ? "" : "|close"));
            parser.next();
        }
    }
    return seen;
}

const std::string kStream =
    "\r\nGET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Padded: \t v \t\r\n\r\n"
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    "POST /q HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n"
    "GET http://h HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    "DELETE /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    "HEAD /e HTTP/1.0\r\n\r\n";

const std::vector<std::string> kRequests = {
    "GET /a?b=c|host=h|x-empty=|x-padded=v|",
    "POST /p?|host=h|content-length=5|hello",
    "POST /q?|host=h|transfer-encoding=chunked|abcde",
    "GET /?|host=h|connection=upgrade|upgrade=h2c|",
    "DELETE /d?|host=h|connection=close||close",
    "HEAD /e?||close",
};

TEST(RequestParser, InOnePieceAndByteByByte) {
    EXPECT_EQ(parse_all({kStream}), kRequests);
    std::vector<std::string> bytes;
    for (const char c : kStream)
        bytes.emplace_back(1, c);
    EXPECT_EQ(parse_all(bytes), kRequests);
}

TEST(RequestParser, CutAtEveryByte) {
    for (size_t cut = 1; cut < kStream.size(); ++cut) {
        EXPECT_EQ(parse_all({kStream.substr(0, cut), kStream.substr(cut)}), kRequests) << cut;
    }
}

TEST(RequestParser, OneEmptyLineBeforeARequestButNotTwo) {
    const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    EXPECT_EQ(parse_all({"\r\n" + get + "\r\n" + get}).size(), 2u);
    EXPECT_EQ(parse_all({"\r\n\r\n" + get}), std::vector<std::string>{"400"});
    EXPECT_EQ(parse_all({"\n" + get}), std::vector<std::string>{"400"});
}

TEST(RequestParser, RefusesWhatTheHeadPromises) {
    Limits limits;
    limits.body_bytes_max = 100;
    const auto status_of = [&](const std::string& line, const std::string& fields) {
        return parse_all({line + "\r\nHost: h\r\n" + fields + "\r\n"}, limits).at(0);
    };
    EXPECT_EQ(status_of("POST / HTTP/1.1", "Content-Length: 101\r\n"), "413");
    EXPECT_EQ(status_of("POST / HTTP/1.1", "Content-Length: 99999999999999999999999\r\n"), "413");
    EXPECT_EQ(status_of("POST / HTTP/1.1", ""), "411");
    EXPECT_EQ(status_of("POST / HTTP/1.1", "Expect: 200-ok\r\nContent-Length: 1\r\n"), "417");
    EXPECT_EQ(parse_all({"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n" +
                         std::string(100, 'x')},
                        limits)
                  .at(0)
                  .size(),
              std::string("POST /?|host=h|content-length=100|").size() + 100);
    // HTTP/1.0 knows no expectations; a GET needs no length.
    EXPECT_EQ(status_of("GET / HTTP/1.0", "Expect: 200-ok\r\n").substr(0, 3), "GET");
}

TEST(RequestParser, KeepsSaneRequestIds) {
    const Limits limits;
    const auto id_of = [&](const std::string& value) {
        RequestParser parser(limits);
        parser.parse("GET / HTTP/1.1\r\nHost: h\r\nX-Request-ID: " + value + "\r\n\r\n");
        EXPECT_EQ(parser.state(), State::kComplete) << value;
        return parser.request().request_id;
    };
    EXPECT_EQ(id_of("aZ0._-"), "aZ0._-");
    EXPECT_EQ(id_of(std::string(128, 'a')), std::string(128, 'a'));
    for (const std::string bad : {"", "a b", "a\"b", "a,b", "a\xc3\xa9", "<script>"}) {
        EXPECT_EQ(id_of(bad), "") << bad;
    }
    EXPECT_EQ(id_of(std::string(129, 'a')), "");
}

TEST(RequestParser, ForgetsTheLastRequest) {
    const Limits limits;
    RequestParser parser(limits);
    parser.request().peer = {"unix", true};
    const std::string first =
        "POST /a?b HTTP/1.1\r\nHost: h\r\nX-Request-Id: i\r\nContent-Length: 2\r\n\r\nxy";
    ASSERT_EQ(parser.parse(first), first.size());
    EXPECT_EQ(parser.request().body, "xy");
    EXPECT_GT(parser.request().received_ns, 0u);
    parser.next();
    parser.parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    ASSERT_EQ(parser.state(), State::kComplete);
    EXPECT_EQ(parser.request().query, "");
    EXPECT_EQ(parser.request().body, "");
    EXPECT_EQ(parser.request().request_id, "");
    EXPECT_EQ(parser.request().headers.size(), 1u);
    EXPECT_EQ(parser.request().peer.name, "unix") << "belongs to the connection";
    EXPECT_TRUE(parser.request().peer.is_local);
}

}  // namespace
}  // namespace bitnetd::frontend::http
