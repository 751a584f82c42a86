// Goal: connections begin and end as Limits say: listeners of all kinds, deadlines, the limit of
// connections, drain and stop.
// Method: a real server with short deadlines and clients on real sockets in one thread (harness.h).
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "common/log/log.h"
#include "tests/unit/supervisor/frontend/http/harness.h"

namespace bitnetd::frontend::http {
namespace {

class Lifecycle : public Harness {
  protected:
    static Limits quick() {
        Limits limits;
        limits.tick_ms = 5;
        limits.head_timeout_ms = limits.body_timeout_ms = limits.keep_alive_timeout_ms = 60'000;
        return limits;
    }
};

TEST_F(Lifecycle, Ipv6) {
    start();
    uint16_t port = 0;
    Fd listening = listen_tcp(AF_INET6, port);
    if (!listening) GTEST_SKIP() << "this machine has no IPv6 loopback";
    ASSERT_TRUE(server_->listen(std::move(listening)).ok());
    Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    Client& client = add_client(std::move(socket));
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).status, 200);
    EXPECT_TRUE(last_peer.name.starts_with("[::1]:")) << last_peer.name;
    EXPECT_TRUE(last_peer.is_local);
}

TEST_F(Lifecycle, UnixSocket) {
    start();
    const std::string path = testing::TempDir() + "bitnetd-http-" + std::to_string(getpid());
    ASSERT_TRUE(server_->listen(listen_unix(path)).ok());
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    Client& client = add_client(std::move(socket));
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).status, 200);
    EXPECT_EQ(last_peer.name, "unix");
    EXPECT_TRUE(last_peer.is_local);
    unlink(path.c_str());
}

TEST_F(Lifecycle, HeadTimeout) {
    Limits limits = quick();
    limits.head_timeout_ms = 50;
    start(limits);
    Client& silent = connect();
    Client& halting = connect();
    halting.say("GET /echo HTTP/1.1\r\nHost:");
    const Answer got = answer(halting);
    EXPECT_EQ(got.status, 408);
    EXPECT_EQ(got.headers.at("connection"), "close");
    EXPECT_EQ(got.headers.at("x-should-retry"), "false");
    expect_closed(halting);
    expect_closed(silent);
    EXPECT_EQ(silent.received, "") << "nothing was asked";
}

TEST_F(Lifecycle, BodyTimeout) {
    Limits limits = quick();
    limits.body_timeout_ms = 50;
    start(limits);
    for (const std::string& bytes : {post("/echo", "abc").substr(0, 53),
                                     std::string("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                                                 "chunked\r\n\r\n5;abc")}) {
        Client& client = connect();
        client.say(bytes);
        EXPECT_EQ(answer(client).status, 408);
        expect_closed(client);
    }
    EXPECT_EQ(seen.size(), 0u);
}

TEST_F(Lifecycle, KeepAliveTimeout) {
    Limits limits = quick();
    limits.keep_alive_timeout_ms = 50;
    start(limits);
    Client& client = connect();
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).headers.count("keep-alive"), 0u) << "too short to be told";
    expect_closed(client);
    EXPECT_FALSE(client.reset);
    EXPECT_EQ(client.received, "");
}

TEST_F(Lifecycle, NoDeadlineRunsWhileTheHandlerThinks) {
    Limits limits = quick();
    limits.head_timeout_ms = limits.body_timeout_ms = limits.keep_alive_timeout_ms = 20;
    start(limits);
    Client& thinking = connect();
    thinking.say(post("/later", "x"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    Client& idle = connect();
    expect_closed(idle);  // so longer than the deadlines has passed
    Client& another = connect();
    expect_closed(another);
    pending[0]->respond({});
    EXPECT_EQ(answer(thinking).status, 200);
}

TEST_F(Lifecycle, LingeringEnds) {
    Limits limits = quick();
    limits.linger_timeout_ms = 50;
    start(limits);
    Client& client = connect();
    client.say(get("/echo", "Connection: close\r\n"));
    EXPECT_EQ(answer(client).status, 200);
    expect_closed(client);
    EXPECT_TRUE(until([&] { return server_->stats().connections_open == 0; }))
        << "the client never closes its side";
}

TEST_F(Lifecycle, LingeringTakesBoundedBytes) {
    Limits limits;
    limits.linger_bytes_max = 1'000'000;
    start(limits);
    Client& client = connect();
    client.say(get("/echo", "Connection: close\r\n") + std::string(5'000'000, 'x'));
    EXPECT_TRUE(until([&] {
        return server_->stats().connections_total == 1 && server_->stats().connections_open == 0;
    }));
    EXPECT_LT(server_->stats().received_bytes, 1'200'000u);
}

TEST_F(Lifecycle, MoreConnectionsThanAllowedWaitAndIdleOnesMakeRoom) {
    Limits limits = quick();
    limits.connections_max = 2;
    limits.crowded_idle_ms = 50;
    start(limits);
    Client& busy = connect();
    busy.say(post("/later", "x"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    Client& idle = connect();
    idle.say(get("/echo"));
    EXPECT_EQ(answer(idle).status, 200);
    Client& third = connect();
    third.say(get("/echo"));
    EXPECT_EQ(answer(third).status, 200);
    expect_closed(idle);
    EXPECT_EQ(server_->stats().connections_shed, 1u);
    pending[0]->respond({});
    EXPECT_EQ(answer(busy).status, 200);
}

TEST_F(Lifecycle, OutOfDescriptorsIsSurvived) {
    start(quick());
    Client& client = connect();
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).status, 200);
    Client& waiting = connect();
    waiting.say(get("/echo"));
    // The undefined-behaviour sanitizer opens a pipe when it meets a type for the first time; the
    // line logged below must not be the first one.
    log::warn("descriptors_end", {{"in", "test"}});
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    EXPECT_TRUE(until([&] { return server_->stats().accept_failures >= 1; }));
    client.say(get("/echo"));
    EXPECT_EQ(answer(client).status, 200) << "open connections go on";
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(answer(waiting).status, 200) << "it had waited in the backlog";
}

TEST_F(Lifecycle, DrainLetsAnswersEnd) {
    Limits limits = quick();
    limits.drain_idle_ms = 20;
    start(limits);
    Client& streaming = connect();
    streaming.say(post("/stream", "x"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    Client& idle = connect();
    idle.say(get("/echo"));
    EXPECT_EQ(answer(idle).status, 200);
    Client& fresh = connect();
    ASSERT_TRUE(until([&] { return server_->stats().connections_open == 3; }));

    int empty = 0;
    server_->drain(Drain::kEnd, [&] { ++empty; });
    fresh.say(get("/echo"));
    EXPECT_EQ(answer(fresh).headers.at("connection"), "close");
    expect_closed(fresh);
    fresh.vanish();
    expect_closed(idle);
    EXPECT_EQ(empty, 0);
    EXPECT_EQ(gone, 0);

    pending[0]->send("data: 1\n\n");
    pending[0]->end_stream();
    EXPECT_EQ(answer(streaming).body, "data: 1\n\n");
    expect_closed(streaming);
    streaming.vanish();
    EXPECT_TRUE(until([&] { return empty == 1; }));
    turn();
    EXPECT_EQ(empty, 1);

    Fd refused(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_NE(::connect(refused.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

TEST_F(Lifecycle, DrainWithoutConnectionsIsDoneAtOnce) {
    start();
    int empty = 0;
    server_->drain(Drain::kEnd, [&] { ++empty; });
    EXPECT_EQ(empty, 1);
}

TEST_F(Lifecycle, StopReportsEveryUnfinishedExchangeOnce) {
    start();
    for (int i = 0; i < 5; ++i)
        connect().say(i % 2 == 0 ? post("/later", "x") : post("/stream", "x"));
    connect();
    ASSERT_TRUE(
        until([&] { return pending.size() == 5 && server_->stats().connections_open == 6; }));
    bool stopped = false;
    server_->stop([&] { stopped = true; });
    EXPECT_EQ(gone, 5);
    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_EQ(gone, 5);
    for (const auto& client : clients_)
        expect_closed(*client);
    server_.reset();
}

TEST_F(Lifecycle, StopWritesWhatWasAnsweredBefore) {
    start();
    Client& whole = connect();
    Client& streaming = connect();
    whole.say(post("/later", "x"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    streaming.say(post("/stream", "x"));
    ASSERT_TRUE(until([&] { return pending.size() == 2; }));
    Response response;
    response.status = 503;
    pending.at(0)->respond(std::move(response));
    pending.at(1)->send("data: the end\n\n");
    pending.at(1)->end_stream();
    bool stopped = false;
    server_->stop([&] { stopped = true; });
    EXPECT_TRUE(until([&] { return stopped; }));
    EXPECT_EQ(answer(whole).status, 503);
    EXPECT_EQ(answer(streaming).body, "data: the end\n\n");
    EXPECT_EQ(gone, 0);
    server_.reset();
}

TEST_F(Lifecycle, ServerMayBeDestroyedFromItsStopCallback) {
    start();
    connect().say(get("/echo"));
    ASSERT_TRUE(until([&] { return seen.size() == 1; }));
    server_->stop([&] { server_.reset(); });
    EXPECT_TRUE(until([&] { return server_ == nullptr; }));
}

}  // namespace
}  // namespace bitnetd::frontend::http
