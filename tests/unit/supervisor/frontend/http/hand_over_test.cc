// Goal: a server that is rolled ends no connection: idle ones go to its successor as they are,
// others when they are answered; where nobody takes them each is told before it is closed.
// Method: two real servers on one loop with a real control channel between them, clients on real
// sockets, in one thread (harness.h).
#include "supervisor/frontend/http/hand_over.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "supervisor/frontend/http/inheritance.h"
#include "tests/unit/supervisor/frontend/http/harness.h"

namespace bitnetd::frontend::http {
namespace {

class HandOverTest : public Harness {
  protected:
    ~HandOverTest() override {
        hand_over_.reset();
        inheritance_.reset();
        stop(successor_);
    }
    void stop(std::unique_ptr<Server>& server) {
        if (server == nullptr) return;
        bool stopped = false;
        server->stop([&stopped] { stopped = true; });
        EXPECT_TRUE(until([&] { return stopped; }));
        server.reset();
    }
    static Limits quick() {
        Limits limits;
        limits.tick_ms = 5;
        limits.head_timeout_ms = limits.keep_alive_timeout_ms = 3'600'000;  // not by the clock
        return limits;
    }
    // The predecessor's end is small, so that a successor that does not read is felt soon.
    void start_both(const Limits& limits = quick()) {
        start(limits);
        successor_ = std::make_unique<Server>(&loop_, *this, limits);
        auto [ours, theirs] = shm::Channel::make_pair().value();
        const int bytes = 4608;
        setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        hand_over_.emplace(*server_, std::move(ours), [this] { ++sent_; });
        successors_end_ = std::move(theirs);
    }
    void inherit() {
        inheritance_.emplace(*successor_, std::move(successors_end_), [this] { ++ended_; });
    }
    void roll() {
        server_->set_heir(&*hand_over_);
        server_->drain(Drain::kRolled, [this] { ++empty_; });
    }
    // More connections than a channel that small takes unread.
    static constexpr size_t kMoreThanFit = 260;
    // Clients that have been answered once, over pairs of sockets.
    std::vector<Client*> add_idle(size_t count) {
        std::vector<Client*> added;
        for (size_t i = 0; i < count; ++i) {
            added.push_back(&connect_pair());
            added.back()->say(get("/echo"));
        }
        for (Client* client : added)
            EXPECT_EQ(answer(*client).status, 200);
        turn();
        return added;
    }
    uint64_t here() const { return server_->stats().connections_open; }
    uint64_t there() const { return successor_->stats().connections_open; }
    // Served again, with no word of closing.
    void expect_kept(Client& client) {
        client.say(get("/echo"));
        const Answer again = answer(client);
        EXPECT_EQ(again.status, 200);
        EXPECT_EQ(again.headers.count("connection"), 0u);
        EXPECT_FALSE(client.closed);
    }

    std::unique_ptr<Server> successor_;
    std::optional<HandOver> hand_over_;
    std::optional<Inheritance> inheritance_;
    Fd successors_end_;
    int sent_ = 0;
    int ended_ = 0;
    int empty_ = 0;
};

TEST_F(HandOverTest, IdleConnectionsAreServedByTheSuccessor) {
    start_both();
    inherit();
    const auto clients = add_idle(100);
    Client& fresh = connect();  // was never asked anything
    ASSERT_TRUE(until([&] { return here() == 101; }));
    roll();
    ASSERT_TRUE(until([&] { return there() == 101 && empty_ == 1; }));
    for (Client* client : clients)
        expect_kept(*client);
    expect_kept(fresh);
    EXPECT_EQ(successor_->stats().answers_by_status[200], 101u);
    EXPECT_EQ(gone, 0);
    EXPECT_FALSE(hand_over_->is_sending());
    hand_over_.reset();  // the predecessor ends
    EXPECT_TRUE(until([&] { return ended_ == 1; }));
    EXPECT_TRUE(inheritance_->is_over());
    expect_kept(fresh);
}

TEST_F(HandOverTest, OthersGoWhenTheyAreAnswered) {
    start_both();
    inherit();
    Client& streaming = connect();
    streaming.say(post("/stream", "x"));
    Client& waiting = connect();
    waiting.say(post("/later", "x"));
    Client& pipelining = connect();
    pipelining.say(get("/later/1") + get("/echo") + get("/echo"));
    Client& halting = connect();
    halting.say("GET /echo HTT");
    ASSERT_TRUE(until([&] { return pending.size() == 3 && here() == 4; }));
    roll();
    turn();
    EXPECT_EQ(here(), 4u) << "each is busy";
    for (Exchange* exchange : std::vector(pending)) {
        if (exchange->request().path == "/stream") {
            exchange->send("data: 1\n\n");
            exchange->end_stream();
        } else {
            exchange->respond({});
        }
    }
    EXPECT_EQ(answer(streaming).body, "data: 1\n\n");
    EXPECT_EQ(answer(waiting).headers.count("connection"), 0u);
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(answer(pipelining).headers.count("connection"), 0u);
    ASSERT_TRUE(until([&] { return there() == 3; }));
    EXPECT_EQ(here(), 1u) << "half a request is finished where it began";
    halting.say("P/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(answer(halting).headers.count("connection"), 0u);
    ASSERT_TRUE(until([&] { return there() == 4 && empty_ == 1; }));
    for (Client* client : {&streaming, &waiting, &pipelining, &halting})
        expect_kept(*client);
    EXPECT_EQ(gone, 0);
}

TEST_F(HandOverTest, WhoAsksForTheEndGetsIt) {
    start_both();
    inherit();
    Client& client = connect();
    client.say(get("/later", "Connection: close\r\n"));
    ASSERT_TRUE(until([&] { return pending.size() == 1; }));
    roll();
    pending[0]->respond({});
    EXPECT_EQ(answer(client).headers.at("connection"), "close");
    expect_closed(client);
    EXPECT_EQ(there(), 0u);
}

TEST_F(HandOverTest, ASuccessorThatIsSlowGetsThemAllInTheEnd) {
    start_both();
    const auto clients = add_idle(kMoreThanFit);
    roll();
    ASSERT_TRUE(until([&] { return hand_over_->is_sending(); }));
    turn();
    EXPECT_GT(here(), 0u) << "nothing is taken that cannot be sent";
    EXPECT_EQ(sent_, 0);
    Client& busy = *clients.front();  // meanwhile they are served by whoever has them
    inherit();
    ASSERT_TRUE(until([&] { return there() == kMoreThanFit; }));
    EXPECT_TRUE(until([&] { return empty_ == 1 && sent_ > 0; }));
    for (Client* client : clients)
        expect_kept(*client);
    EXPECT_FALSE(busy.closed);
}

TEST_F(HandOverTest, WhatWasNotSentIsServedHereWhenTheSuccessorDies) {
    start_both();
    const auto clients = add_idle(kMoreThanFit);
    roll();
    ASSERT_TRUE(until([&] { return hand_over_->is_sending(); }));
    const uint64_t kept = here() + shm::kControlFdsMax;  // those that wait for room come back
    successors_end_.reset();                             // with all that was sent to it
    ASSERT_TRUE(until([&] { return !hand_over_->is_there(); }));
    ASSERT_TRUE(until([&] { return here() == kept; }));
    EXPECT_EQ(sent_, 1);
    EXPECT_FALSE(hand_over_->is_sending());
    turn();
    size_t served = 0;
    for (Client* client : clients) {
        if (client->closed) continue;  // it went to the successor, and with it
        client->say(get("/echo"));
        EXPECT_EQ(answer(*client).headers.at("connection"), "close");
        ++served;
    }
    EXPECT_EQ(served, kept);
}

TEST_F(HandOverTest, WithoutASuccessorNobodyIsClosedUntold) {
    Limits limits = quick();
    limits.drain_idle_ms = 1;
    limits.head_timeout_ms = 50;
    start_both(limits);
    const auto idle = add_idle(2);
    successors_end_.reset();
    ASSERT_TRUE(until([&] { return !hand_over_->is_there(); }));
    Client& silent = connect();
    ASSERT_TRUE(until([&] { return here() == 3; }));
    roll();
    expect_closed(silent);  // so much longer than drain_idle_ms has passed
    for (Client* client : idle) {
        EXPECT_FALSE(client->closed);
        client->say(get("/echo"));
        EXPECT_EQ(answer(*client).headers.at("connection"), "close");
        expect_closed(*client);
        client->vanish();
    }
    EXPECT_TRUE(until([&] { return empty_ == 1; }));
}

TEST_F(HandOverTest, ARolledServerMayStillBeToldThatAllEnds) {
    Limits limits = quick();
    limits.drain_idle_ms = 20;
    start_both(limits);
    const auto idle = add_idle(2);
    server_->drain(Drain::kRolled, [this] { ++empty_; });
    int ends = 0;
    server_->drain(Drain::kEnd, [&ends] { ++ends; });
    for (Client* client : idle)
        expect_closed(*client);
    EXPECT_TRUE(until([&] { return ends == 1; }));
    EXPECT_EQ(empty_, 0);
}

TEST_F(HandOverTest, AServerThatEndsHandsNothingOver) {
    start_both();
    inherit();
    const auto idle = add_idle(2);
    server_->set_heir(&*hand_over_);
    server_->drain(Drain::kEnd, [this] { ++empty_; });
    idle[0]->say(get("/echo"));
    EXPECT_EQ(answer(*idle[0]).headers.at("connection"), "close");
    EXPECT_EQ(there(), 0u);
}

TEST_F(HandOverTest, OneThatIsRolledItselfPassesOnWhatItInherits) {
    start_both();
    inherit();
    int sent = 0;
    auto [ours, theirs] = shm::Channel::make_pair().value();
    auto third = std::make_unique<Server>(&loop_, *this, quick());
    {
        HandOver on(*successor_, std::move(ours), [&sent] { ++sent; });
        Inheritance last(*third, std::move(theirs), [] {});
        successor_->set_heir(&on);
        int empty = 0;
        successor_->drain(Drain::kRolled, [&empty] { ++empty; });
        const auto clients = add_idle(20);
        roll();
        ASSERT_TRUE(until([&] { return third->stats().connections_open == 20; }));
        for (Client* client : clients)
            expect_kept(*client);
        successor_->set_heir(nullptr);
    }
    stop(third);
}

TEST_F(HandOverTest, OnlyConnectionsAreInherited) {
    start_both();
    hand_over_.reset();  // the test is the predecessor
    auto [ours, theirs] = shm::Channel::make_pair().value();
    shm::Channel sender(std::move(ours));
    successors_end_ = std::move(theirs);
    inherit();
    const Fd file(memfd_create("not a socket", MFD_CLOEXEC));
    const int fds[] = {file.get()};
    ASSERT_TRUE(sender.send(shm::MessageType::kConnection, {}, fds).ok());
    turn();
    EXPECT_EQ(there(), 0u);
    EXPECT_EQ(ended_, 0);
    ASSERT_TRUE(sender.send(shm::MessageType::kDrain).ok());
    EXPECT_TRUE(until([&] { return ended_ == 1; }));
    ASSERT_TRUE(sender.send(shm::MessageType::kConnection, {}, fds).ok());
    turn();
    EXPECT_EQ(ended_, 1) << "it has stopped listening";
}

TEST_F(HandOverTest, ASuccessorThatSpeaksIsNotTrusted) {
    start_both();
    shm::Channel successor(std::move(successors_end_));
    ASSERT_TRUE(successor.send(shm::MessageType::kConnection).ok());
    EXPECT_TRUE(until([&] { return !hand_over_->is_there(); }));
    EXPECT_EQ(hand_over_->room(), 0u);
}

}  // namespace
}  // namespace bitnetd::frontend::http
