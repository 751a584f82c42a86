// Goal: events reach the client as they are sent, once a loop turn; a slow or vanished reader is
// noticed, reported once, and costs bounded memory.
// Method: a real server and clients on real sockets in one thread (harness.h); small socket buffers
// stand for slow networks.
#include <gtest/gtest.h>

#include "tests/unit/supervisor/frontend/http/harness.h"

namespace bitnetd::frontend::http {
namespace {

class Streams : public Harness {
  protected:
    Exchange& stream(Client& client, const std::string& request = post("/stream", "{}")) {
        pending.clear();
        client.say(request);
        EXPECT_TRUE(until([&] { return pending.size() == 1; }));
        return *pending.at(0);
    }
};

TEST_F(Streams, EventsOfOneTurnAreOneChunk) {
    start();
    Client& client = connect();
    Exchange& exchange = stream(client);
    ASSERT_TRUE(until([&] { return client.received.ends_with("\r\n\r\n"); }))
        << "the head leaves first";
    exchange.send("data: 1\n\n");
    exchange.send("data: 2\n\n");
    EXPECT_EQ(exchange.unsent_bytes(), 18u);
    turn(3);
    EXPECT_TRUE(client.received.ends_with("12\r\ndata: 1\n\ndata: 2\n\n\r\n"));
    EXPECT_EQ(exchange.unsent_bytes(), 0u);
    exchange.send("data: [DONE]\n\n");
    exchange.end_stream();
    const Answer got = answer(client);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.headers.at("content-type"), "text/event-stream");
    EXPECT_EQ(got.headers.at("cache-control"), "no-cache");
    EXPECT_EQ(got.headers.at("x-accel-buffering"), "no");
    EXPECT_EQ(got.headers.count("content-length"), 0u);
    EXPECT_EQ(got.chunks, (std::vector<std::string>{"data: 1\n\ndata: 2\n\n", "data: [DONE]\n\n"}));
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).status, 200) << "the connection is kept";
    EXPECT_EQ(gone, 0);
}

TEST_F(Streams, AnEmptyStreamAndAnEmptyEventEndWell) {
    start();
    Client& client = connect();
    Exchange& exchange = stream(client);
    exchange.send("");
    turn();
    exchange.end_stream();
    EXPECT_EQ(answer(client).body, "");
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).body, "GET /echo ");
}

TEST_F(Streams, Http10StreamsUntilClose) {
    start();
    Client& client = connect();
    Exchange& exchange = stream(
        client, "POST /stream HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    exchange.send("data: 1\n\n");
    turn();
    exchange.send("data: 2\n\n");
    exchange.end_stream();
    expect_closed(client);
    EXPECT_EQ(answer(client).headers.at("connection"), "close");
    EXPECT_EQ(client.received, "data: 1\n\ndata: 2\n\n");
}

TEST_F(Streams, VanishedClientIsReportedOnce) {
    start();
    Client& client = connect();
    Exchange& exchange = stream(client);
    exchange.send("data: 1\n\n");
    turn();
    client.vanish();
    EXPECT_TRUE(until([&] { return gone == 1; }));
    turn();
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(server_->stats().connections_open, 0u);
    EXPECT_EQ(server_->stats().clients_gone_total, 1u);
}

TEST_F(Streams, VanishedClientIsNeverReportedFromWithinSend) {
    start();
    Client& client = connect();
    Exchange& exchange = stream(client);
    client.vanish();
    for (int i = 0; i < 1000; ++i)
        exchange.send("data: to nobody\n\n");
    EXPECT_EQ(gone, 0);
    EXPECT_TRUE(until([&] { return gone == 1; }));
}

TEST_F(Streams, HalfClosedStreamIsGone) {
    start();
    Client& client = connect();
    stream(client);
    client.half_close();
    EXPECT_TRUE(until([&] { return gone == 1; }));
    expect_closed(client);
}

TEST_F(Streams, SlowReader) {
    start();
    Client& client = connect_pair();
    Exchange& exchange = stream(client);
    client.stop_reading(true);
    const std::string event = "data: " + std::string(992, 'x') + "\n\n";
    size_t sent = 0;
    while (exchange.unsent_bytes() <= kSlowReaderBytes) {
        exchange.send(event);
        sent += event.size();
        if (sent % (50 * event.size()) == 0) turn(1);
    }
    turn();
    EXPECT_EQ(drained, 0);
    client.stop_reading(false);
    EXPECT_TRUE(until([&] { return drained == 1; }));
    EXPECT_EQ(exchange.unsent_bytes(), 0u);
    exchange.send("end");
    exchange.end_stream();
    EXPECT_EQ(answer(client).body.size(), sent + 3);
    EXPECT_EQ(drained, 1);
    EXPECT_EQ(gone, 0);
}

// Framing makes more of what was sent: the limit may be passed behind the last send().
TEST_F(Streams, WhoeverSawMoreThanTheLimitHearsOfItsEnd) {
    start();
    size_t framed_beyond = 0;
    for (size_t missing = 0; missing <= 12; ++missing) {
        Client& client = connect_pair();
        Exchange& exchange = stream(client);
        client.stop_reading(true);
        exchange.send(std::string(100'000, 'x'));  // more than the kernel takes
        turn();
        exchange.send(std::string(kSlowReaderBytes - missing - exchange.unsent_bytes(), 'x'));
        ASSERT_EQ(exchange.unsent_bytes(), kSlowReaderBytes - missing);
        turn();
        const bool is_slow = exchange.unsent_bytes() > kSlowReaderBytes;
        if (is_slow) ++framed_beyond;
        drained = 0;
        client.stop_reading(false);
        ASSERT_TRUE(until([&] { return exchange.unsent_bytes() == 0; }));
        EXPECT_EQ(drained, is_slow ? 1 : 0) << missing << " bytes below the limit";
        exchange.end_stream();
        answer(client);
    }
    EXPECT_GT(framed_beyond, 0u);
}

TEST_F(Streams, AnEarlierAnswerThatIsNotReadCountsToo) {
    Limits limits;
    limits.output_bytes_max = 2 * kSlowReaderBytes;
    start(limits);
    Client& client = connect_pair();
    client.stop_reading(true);
    client.say(get("/later") + post("/stream", "{}"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    Response response;
    response.body = std::string(kSlowReaderBytes + 50'000, 'b');
    pending.at(0)->respond(std::move(response));
    ASSERT_TRUE(until([&] { return pending.size() == 2; }));
    EXPECT_GT(pending.at(1)->unsent_bytes(), kSlowReaderBytes);
    EXPECT_EQ(drained, 0);
    client.stop_reading(false);
    EXPECT_TRUE(until([&] { return drained == 1; }));
}

TEST_F(Streams, NothingTakenForTooLongIsTheEnd) {
    Limits limits;
    limits.tick_ms = 5;
    limits.write_timeout_ms = 50;
    start(limits);
    Client& client = connect_pair();
    Exchange& exchange = stream(client);
    client.stop_reading(true);
    for (int i = 0; i < 1000; ++i)
        exchange.send(std::string(1000, 'x'));
    EXPECT_TRUE(until([&] { return gone == 1; }));
    turn();
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(server_->stats().connections_open, 0u);
}

TEST_F(Streams, SilenceIsFilledWithPings) {
    Limits limits;
    limits.tick_ms = 5;
    limits.ping_interval_ms = 20;
    start(limits);
    Client& client = connect();
    Exchange& exchange = stream(client);
    ASSERT_TRUE(
        until([&] { return client.received.ends_with("8\r\n: ping\n\n\r\n8\r\n: ping\n\n\r\n"); }));
    exchange.end_stream();
    EXPECT_GE(answer(client).chunks.size(), 2u);
}

TEST_F(Streams, ManyAtOnceFromOneTurn) {
    start();
    std::vector<Exchange*> exchanges;
    std::vector<Client*> readers;
    for (int i = 0; i < 100; ++i) {
        Client& client = connect();
        readers.push_back(&client);
        exchanges.push_back(&stream(client));
    }
    for (int token = 0; token < 20; ++token) {
        for (size_t i = 0; i < exchanges.size(); ++i) {
            exchanges[i]->send("data: " + std::to_string(i) + "." + std::to_string(token) + "\n\n");
        }
        turn(1);
    }
    for (Exchange* exchange : exchanges)
        exchange->end_stream();
    for (size_t i = 0; i < readers.size(); ++i) {
        std::string expected;
        for (int token = 0; token < 20; ++token) {
            expected += "data: " + std::to_string(i) + "." + std::to_string(token) + "\n\n";
        }
        EXPECT_EQ(answer(*readers[i]).body, expected);
    }
}

// The answer to one client can be given from the callback of another's.
TEST_F(Streams, OneExchangeEndsAnotherFromItsCallback) {
    start();
    Client& leaving = connect();
    Exchange& first = stream(leaving);
    Client& staying = connect();
    Exchange& second = stream(staying);
    first.on_gone = [&] {
        second.send("data: the other left\n\n");
        second.end_stream();
    };
    leaving.vanish();
    EXPECT_EQ(answer(staying).body, "data: the other left\n\n");
}

}  // namespace
}  // namespace bitnetd::frontend::http
