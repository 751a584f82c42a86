// Goal: every request on a connection gets its answer, in order, and a refused one gets the right
// status and the right end.
// Method: a real server and clients on real sockets in one thread (harness.h).
#include <gtest/gtest.h>

#include "tests/unit/supervisor/frontend/http/harness.h"

namespace bitnetd::frontend::http {
namespace {

class Requests : public Harness {
  protected:
    // The one answer to `bytes` on a connection of its own, which must then be closed or kept.
    Answer only_answer(const std::string& bytes, bool closes) {
        Client& client = connect();
        client.say(bytes);
        const Answer got = answer(client);
        EXPECT_EQ(got.headers.count("connection") != 0, closes) << bytes.substr(0, 100);
        if (closes) {
            expect_closed(client);
            EXPECT_FALSE(client.reset) << "the client could have lost the answer";
            EXPECT_EQ(client.received, "");
        } else {
            client.say(get("/echo"));
            EXPECT_EQ(answer(client).status, 200);
        }
        return got;
    }
};

TEST_F(Requests, KeepAliveWithOrdinaryHeaders) {
    start();
    Client& client = connect();
    for (int i = 0; i < 3; ++i) {
        client.say(post("/echo", "body" + std::to_string(i), "X-Request-Id: mine\r\n"));
        const Answer got = answer(client);
        EXPECT_EQ(got.status, 200);
        EXPECT_EQ(got.body, "POST /echo body" + std::to_string(i));
        EXPECT_EQ(got.headers.at("content-type"), "application/json");
        EXPECT_EQ(got.headers.at("x-request-id"), "mine");
        EXPECT_EQ(got.headers.at("openai-processing-ms").find_first_not_of("0123456789"),
                  std::string::npos);
        EXPECT_EQ(got.headers.at("keep-alive"), "timeout=74");
        EXPECT_EQ(got.headers.count("connection"), 0u);
        EXPECT_EQ(got.headers.count("access-control-allow-origin"), 0u);
        EXPECT_EQ(got.headers.count("date"), 1u);
    }
    EXPECT_TRUE(last_peer.name.starts_with("127.0.0.1:"));
    EXPECT_TRUE(last_peer.is_local);
    EXPECT_EQ(server_->stats().answers_by_status[200], 3u);
    EXPECT_EQ(server_->stats().connections_total, 1u);
}

TEST_F(Requests, RequestIdsAreDrawnAndOriginsGetCors) {
    start();
    Client& client = connect();
    client.say(get("/echo", "Origin: http://x\r\nX-Request-Id: not sane\r\n"));
    const Answer got = answer(client);
    EXPECT_EQ(got.headers.at("x-request-id").size(), 36u);
    EXPECT_EQ(got.headers.at("access-control-allow-origin"), "*");
    EXPECT_NE(got.headers.at("access-control-expose-headers").find("x-request-id"),
              std::string::npos);
}

TEST_F(Requests, CutAtEveryByte) {
    start();
    Client& client = connect();
    const std::string bytes =
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: u\r\n\r\n";
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
        client.say(bytes.substr(0, cut));
        ASSERT_TRUE(until([&] { return client.all_sent(); }));
        turn(2);
        client.say(bytes.substr(cut));
        ASSERT_EQ(answer(client).body, "POST /echo abc") << cut;
    }
    for (const char c : bytes) {
        client.say(std::string(1, c));
        turn(2);
    }
    EXPECT_EQ(answer(client).body, "POST /echo abc");
}

TEST_F(Requests, FiftyPipelinedAreAnsweredInOrder) {
    start();
    Client& client = connect();
    std::string bytes;
    for (int i = 0; i < 50; ++i) {
        const std::string body = std::to_string(i);
        bytes += i % 5 == 4 ? post("/later", body) : post("/echo", body);
    }
    client.say(bytes);
    for (int i = 0; i < 50; ++i) {
        if (i % 5 == 4) {
            ASSERT_TRUE(until([&] { return pending.size() == 1; })) << i;
            turn(3);
            ASSERT_EQ(seen.size(), static_cast<size_t>(i + 1)) << "the next waits for this answer";
            Exchange* exchange = pending[0];
            pending.clear();
            exchange->respond({.body = "later " + exchange->request().body});
            EXPECT_EQ(answer(client).body, "later " + std::to_string(i));
        } else {
            EXPECT_EQ(answer(client).body, "POST /echo " + std::to_string(i));
        }
    }
    EXPECT_EQ(gone, 0);
}

TEST_F(Requests, PipelinedInputIsBoundedWhileAnAnswerIsOutstanding) {
    Limits limits;
    limits.pipeline_bytes_max = 1000;
    start(limits);
    Client& client = connect();
    client.say(get("/later"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    // More than the server and both sockets can hold: it must stop taking.
    const std::string one = post("/echo", std::string(10'000, 'x'));
    std::string bytes;
    for (int i = 0; i < 2'000; ++i)
        bytes += one;
    client.say(bytes);
    turn(200);
    EXPECT_FALSE(client.all_sent());
    EXPECT_LT(server_->stats().received_bytes, 200'000u);
    pending[0]->respond({.body = "first"});
    EXPECT_EQ(answer(client).body, "first");
    for (int i = 0; i < 2'000; ++i)
        ASSERT_EQ(answer(client).body.size(), 10'011u) << i;
}

TEST_F(Requests, UnsentOutputHoldsBackTheNextRequest) {
    start();
    Client& client = connect_pair();
    client.stop_reading(true);
    std::string bytes;
    for (int i = 0; i < 20; ++i)
        bytes += get("/big");
    client.say(bytes);
    turn(50);
    EXPECT_EQ(seen.size(), 1u);
    client.stop_reading(false);
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(answer(client).body.size(), 1u << 20);
}

TEST_F(Requests, HeadIsMeasuredNotSent) {
    start();
    Client& client = connect();
    client.say("HEAD /echo HTTP/1.1\r\nHost: h\r\n\r\n" + get("/echo"));
    const Answer got = answer(client, true);
    EXPECT_EQ(got.headers.at("content-length"), std::to_string(std::string("HEAD /echo ").size()));
    EXPECT_EQ(answer(client).body, "GET /echo ");
}

TEST_F(Requests, Http10) {
    start();
    Client& once = connect();
    once.say("GET /echo HTTP/1.0\r\n\r\n");
    EXPECT_EQ(answer(once).headers.at("connection"), "close");
    expect_closed(once);
    Client& kept = connect();
    for (int i = 0; i < 2; ++i) {
        kept.say("GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        EXPECT_EQ(answer(kept).headers.at("connection"), "keep-alive");
    }
}

TEST_F(Requests, WhatFollowsConnectionCloseIsIgnored) {
    start();
    Client& client = connect();
    client.say(get("/echo", "Connection: close\r\n") + get("/echo") + "garbage\n\n" +
               std::string(100'000, 'x'));
    const Answer got = answer(client);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.headers.at("connection"), "close");
    expect_closed(client);
    EXPECT_FALSE(client.reset);
    EXPECT_EQ(client.received, "");
    EXPECT_EQ(seen.size(), 1u);
}

TEST_F(Requests, FramingErrorsAreAnsweredAndClose) {
    start();
    EXPECT_EQ(only_answer("GET / HTTP/1.1\nHost: h\n\n", true).status, 400);
    EXPECT_EQ(only_answer("GET / HTTP/1.1\r\n\r\n", true).status, 400);
    EXPECT_EQ(only_answer(post("/", "abc", "Transfer-Encoding: chunked\r\n"), true).status, 400);
    EXPECT_EQ(
        only_answer("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", true)
            .status,
        400);
    EXPECT_EQ(
        only_answer("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", true)
            .status,
        501);
    EXPECT_EQ(only_answer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true).status, 505);
    EXPECT_EQ(only_answer("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", true).status, 501);
    EXPECT_EQ(only_answer("GET /" + std::string(17'000, 'x'), true).status, 414);
    EXPECT_EQ(only_answer(get("/", "X: " + std::string(70'000, 'x') + "\r\n"), true).status, 431);
    std::string fields;
    for (int i = 0; i < 200; ++i)
        fields += "X: y\r\n";
    EXPECT_EQ(only_answer(get("/", fields), true).status, 431);
    EXPECT_EQ(server_->stats().refusals_total, 10u);
    EXPECT_EQ(seen.size(), 0u);
}

TEST_F(Requests, RefusalsUseTheHandlersErrorBody) {
    start();
    const Answer got = only_answer("GET / HTTP/1.1\nHost: h\n\n", true);
    EXPECT_TRUE(got.body.starts_with("400|malformed_request|a line ends in LF without CR|"));
    EXPECT_TRUE(got.body.ends_with(got.headers.at("x-request-id")));
    EXPECT_EQ(got.headers.at("content-type"), "application/json");
}

TEST_F(Requests, TooLargeIsRefusedFromTheLengthWhileTheBodyStillComes) {
    Limits limits;
    limits.body_bytes_max = 1000;
    start(limits);
    // More than the sockets hold: the client is sending when the answer is written.
    const Answer got = only_answer(post("/echo", std::string(8'000'000, 'x')), true);
    EXPECT_EQ(got.status, 413);
    EXPECT_EQ(only_answer("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3e8\r\n" +
                              std::string(1000, 'x') + "\r\n1\r\n",
                          true)
                  .status,
              413);
    EXPECT_EQ(only_answer(post("/echo", std::string(1000, 'x')), false).status, 200);
}

TEST_F(Requests, LengthRequiredKeepsTheConnectionUnlessBytesFollow) {
    start();
    const std::string bare = "POST /echo HTTP/1.1\r\nHost: h\r\n\r\n";
    EXPECT_EQ(only_answer(bare, false).status, 411);
    EXPECT_EQ(only_answer(bare + "hello", true).status, 411);
}

TEST_F(Requests, ExpectContinue) {
    start();
    Client& client = connect();
    client.say(
        "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ASSERT_TRUE(until([&] { return client.received == "HTTP/1.1 100 Continue\r\n\r\n"; }));
    client.received.clear();
    client.say("a");
    turn();
    EXPECT_EQ(client.received, "") << "said once";
    client.say("bc");
    EXPECT_EQ(answer(client).body, "POST /echo abc");
    // Not needed when the body is there already, nor when there is none.
    client.say(post("/echo", "abc", "Expect: 100-continue\r\n"));
    EXPECT_EQ(answer(client).status, 200);
    client.say(post("/echo", "", "Expect: 100-continue\r\n"));
    EXPECT_EQ(answer(client).status, 200);
    EXPECT_EQ(only_answer(post("/echo", "", "Expect: tea\r\n"), true).status, 417);
}

TEST_F(Requests, LargeBodies) {
    start();
    Client& client = connect();
    std::string body;
    for (int i = 0; body.size() < 20'000'000; ++i)
        body += std::to_string(i) + ',';
    client.say(post("/later", body));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    EXPECT_EQ(last_body, body);
    EXPECT_EQ(server_->stats().bodies_bytes, body.size());
    pending[0]->respond({});
    pending.clear();
    EXPECT_EQ(answer(client).status, 200);
    EXPECT_EQ(server_->stats().bodies_bytes, 0u);

    std::string chunked = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (size_t at = 0, bytes = 1; at < body.size(); at += bytes, bytes = bytes * 3 % 100'003) {
        const std::string part = body.substr(at, bytes);
        char size[20];
        snprintf(size, sizeof size, "%zx\r\n", part.size());
        chunked += size + part + "\r\n";
    }
    client.say(chunked + "0\r\n\r\n");
    EXPECT_EQ(answer(client).status, 200);
    EXPECT_EQ(last_body, body);
}

TEST_F(Requests, AllBodiesTogetherAreBounded) {
    Limits limits;
    limits.bodies_bytes_max = 500'000;
    start(limits);
    Client& first = connect();
    first.say(post("/later", std::string(400'000, 'x')));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    const Answer got = only_answer(post("/echo", std::string(400'000, 'x')), true);
    EXPECT_EQ(got.status, 503);
    EXPECT_EQ(got.headers.count("retry-after"), 1u);
    pending[0]->respond({});
    EXPECT_EQ(answer(first).status, 200);
    EXPECT_EQ(only_answer(post("/echo", std::string(400'000, 'x')), false).status, 200);
}

TEST_F(Requests, HalfClosedGetsAreAnswered) {
    start();
    Client& client = connect();
    client.say(get("/later") + get("/echo") + post("/echo", "nobody waits"));
    client.half_close();
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    turn();
    pending[0]->respond({.body = "late"});
    EXPECT_EQ(answer(client).body, "late");
    EXPECT_EQ(answer(client).body, "GET /echo ");
    expect_closed(client);
    EXPECT_EQ(client.received, "");
    EXPECT_EQ(gone, 0);
    EXPECT_EQ(seen.size(), 2u);
}

TEST_F(Requests, HalfARequestThenEndIsNoRequest) {
    start();
    for (const std::string& part :
         {std::string("GET /ec"), std::string(""), post("/echo", "abc").substr(0, 50)}) {
        Client& client = connect();
        client.say(part);
        client.half_close();
        expect_closed(client);
        EXPECT_EQ(client.received, "");
    }
    EXPECT_EQ(seen.size(), 0u);
}

TEST_F(Requests, HalfClosedGenerationIsGone) {
    start();
    Client& client = connect();
    client.say(post("/later", "x"));
    client.half_close();
    expect_closed(client);
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(server_->stats().clients_gone_total, 1u);
}

TEST_F(Requests, LeavingIsNoticedAlsoWhileInputIsNotRead) {
    Limits limits;
    limits.pipeline_bytes_max = 1000;
    start(limits);
    Client& client = connect();
    client.say(post("/later", "x") + std::string(100'000, 'x'));  // the kernel holds the rest
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    turn();
    client.vanish();
    EXPECT_TRUE(until([&] { return gone == 1; }));
}

TEST_F(Requests, HandlerMayLookAtTheRequestBehindItsAnswer) {
    start();
    Client& client = connect();
    client.say(post("/later", "still here"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    const Request& request = pending[0]->request();
    pending[0]->respond({});
    EXPECT_EQ(request.body, "still here");
    EXPECT_EQ(answer(client).status, 200);
}

}  // namespace
}  // namespace bitnetd::frontend::http
