// Goal: what a frontend owes its supervisor and its clients at the edges of its life: a supervisor
// that dies, a model that cannot be read, a worker that garbles its rings, a drain that takes too
// long.
// Method: the real bitnetd-frontend, confined as it is; this test is its supervisor, its worker and
// its client (frontend_child.h).
#include <gtest/gtest.h>

#include "common/config/exit_codes.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/text_field.h"
#include "tests/unit/supervisor/frontend/api/api_fixture.h"
#include "tests/unit/supervisor/frontend/dispatch/worker_end.h"
#include "tests/unit/supervisor/frontend/process/frontend_child.h"

namespace bitnetd::frontend {
namespace {

using shm::MessageType;

// Its answer tells that everything sent before was taken in.
shm::SelfTestDoneMessage test_model(FrontendChild& child, uint64_t model_key) {
    shm::SelfTestMessage test{};
    test.model_key = model_key;
    test.count = 1;
    shm::set_field(test.prompts[0], "a");
    child.send(MessageType::kSelfTest, test);
    return child.expect(MessageType::kSelfTestDone).as<shm::SelfTestDoneMessage>().value();
}

std::string post(const std::string& path, const std::string& body) {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n" +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(FrontendProcess, WhatStillWaitsAtTheDrainDeadlineIsAnswered) {
    Params params = FrontendChild::quiet();
    params.server_drain_timeout_ms = 0;
    FrontendChild child(params);
    child.send_model(1, "tiny", make_test_image());
    child.start_and_wait();
    const Fd client = child.connect();
    child.say(client, post("/v1/completions", R"({"prompt":"a","max_tokens":4})"));
    child.await([&] { return child.board().gauge(Gauge::kActiveRequests) == 1; });
    shm::HealthMessage ends{};
    ends.draining = 1;
    child.send(MessageType::kHealth, ends);
    child.send(MessageType::kDrain);
    const std::string answer = child.read_to_end(client);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 503 ")) << answer;
    EXPECT_EQ(child.wait_end(), kExitOk);
}

TEST(FrontendProcess, ASupervisorThatDiesIsNoticedAtOnce) {
    for (const bool has_read_all : {true, false}) {
        FrontendChild child;
        child.start();
        if (has_read_all)
            child.expect(MessageType::kReady);
        else
            child.await_words();  // then its socket fails, instead of ending
        child.hang_up();
        EXPECT_EQ(child.wait_end(), kExitLostSupervisor);
    }
}

TEST(FrontendProcess, AModelThatCannotBeReadIsRefusedAndOthersServe) {
    FrontendChild child;
    child.send_model(1, "tiny", make_test_image());
    child.send_model(2, "garbage", std::vector<std::byte>(4096, std::byte{7}));
    child.send_model(3, "unsealed", make_test_image(), FrontendChild::Seal::kOpen);
    child.start_and_wait();
    for (const uint64_t refused : {2u, 3u}) {
        const auto done = test_model(child, refused);
        EXPECT_EQ(done.failed, 1u);
        EXPECT_NE(shm::field_text(done.text).find("not known here"), std::string_view::npos);
        child.send(MessageType::kModelStanding,
                   shm::ModelStandingMessage{refused, shm::ModelStanding::kRetiring, 0});
        const auto released = child.expect(MessageType::kModelReleased);
        EXPECT_EQ(released.as<shm::ModelKeyMessage>()->model_key, refused);
    }
    const Fd client = child.connect();
    child.say(client, "GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const std::string models = child.read_to_end(client);
    EXPECT_NE(models.find("\"tiny\""), models.npos) << models;
    EXPECT_EQ(models.find("garbage"), models.npos);
}

TEST(FrontendProcess, AMessageThatIsNotAsAgreedEndsIt) {
    FrontendChild child;
    child.start_and_wait();
    child.send(MessageType::kModel, uint64_t{1});
    EXPECT_EQ(child.wait_end(), kExitProtocol);
}

TEST(FrontendProcess, AWorkerWhoseRingIsBrokenIsReported) {
    FrontendChild child;
    WorkerEnd worker;
    child.start_and_wait();
    const shm::Message rings = worker.peer_message();
    shm::PeerMessage peer{};
    peer.incarnation = WorkerEnd::kWorker;
    peer.model_key = 1;
    peer.credits = 4;
    child.send(MessageType::kPeer, peer,
               {rings.fds[0].get(), rings.fds[1].get(), rings.fds[2].get(), rings.fds[3].get()});
    test_model(child, 1);  // unknown: answered at once
    worker.tokens().tail.store(uint64_t{1} << 40);
    child.ring();
    const auto broken = child.expect(MessageType::kPeerBroken);
    EXPECT_EQ(broken.as<shm::IncarnationMessage>()->incarnation, WorkerEnd::kWorker);
}

}  // namespace
}  // namespace bitnetd::frontend
