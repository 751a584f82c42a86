// Goal: whatever a child that was taken over says, and whatever it writes on its board, the
// supervisor lives, answers its operator and at worst replaces the child. Method: a real bitnetd
// with fake children, of which some are hostile (fakes/hostile_child.h), life after life, while
// status is asked and models are swapped over the control socket. The seed is printed; BITNETD_SEED
// repeats it.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/channel.h"
#include "shm/control/text_field.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

using Line = TestServer::Line;

constexpr int kLives = 40;
constexpr uint64_t kPatienceNs = 60 * kNsPerS;

uint64_t the_seed() {
    const char* given = std::getenv("BITNETD_SEED");
    const uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()() % 1'000'000;
    std::cout << "seed " << seed << "\n";
    return seed;
}

// Everything is short, so that much happens.
std::vector<std::string> flags() {
    return {"--model",
            "demo={folder}/model.gguf",
            "--server.control={folder}/control.sock",
            "--server.restart_backoff_ms=1",
            "--server.restart_breaker_deaths=1000",
            "--server.kill_grace_ms=10",
            "--server.drain_timeout_ms=10",
            "--server.heartbeat_interval_ms=10",
            "--server.hang_timeout_ms=1000",
            "--server.worker_start_timeout_ms=1000",
            "--rollout.test_timeout_ms=100",
            "--rollout.canary_timeout_ms=100",
            "--rollout.drain_timeout_ms=100"};
}

// What the operator hears; fails the test when there is no answer.
std::string ask(const TestServer& server, const shm::CommandMessage& command) {
    auto socket = shm::Channel::connect(server.folder() + "/control.sock");
    EXPECT_TRUE(socket.ok()) << socket.error().message;
    if (!socket.ok()) return "";
    shm::Channel channel(std::move(*socket));
    EXPECT_TRUE(channel.send(shm::MessageType::kCommand, command).ok());
    std::string text;
    while (true) {
        auto message = channel.wait(monotonic_ns() + kPatienceNs);
        EXPECT_TRUE(message.ok()) << message.error().message;
        if (!message.ok() || message->type == shm::MessageType::kCommandEnd) return text;
        text += message->text();
    }
}

nlohmann::json status_of(const TestServer& server) {
    shm::CommandMessage command{};
    command.command = shm::Command::kStatus;
    auto status = nlohmann::json::parse(ask(server, command), nullptr, false);
    EXPECT_TRUE(status.is_object() && status["pid"] == server.pid()) << status.dump();
    return status;
}

void order(const TestServer& server, shm::OrderKind kind, const std::string& model) {
    shm::CommandMessage command{};
    command.command = shm::Command::kOrder;
    command.order.kind = kind;
    shm::set_field(command.order.model, model);
    shm::set_field(command.order.path, server.folder() + "/model.gguf");
    ask(server, command);  // refused while another one is in progress
}

size_t descriptors_of(pid_t pid) {
    const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class HostileChildren : public testing::TestWithParam<const char*> {};

TEST_P(HostileChildren, LiveAndDieAndTheSupervisorGoesOn) {
    const std::string roles = GetParam();
    TestServer server(flags(), {"BITNETD_FAKE_HOSTILE=" + roles,
                                "BITNETD_FAKE_SEED=" + std::to_string(the_seed())});
    server.expect_event("model_loaded");
    server.expect_event("control_listening");
    const std::string role = roles.substr(0, roles.find(' '));
    for (int life = 0; life < kLives && !testing::Test::HasFailure(); ++life) {
        server.expect("a hostile child that ended", [&](const Line& line) {
            return line["event"] == role + "_died" || line["event"] == role + "_stopped";
        });
        status_of(server);
        order(server, shm::OrderKind::kSwap, "demo");
    }
    EXPECT_LT(descriptors_of(server.pid()), 200u) << "nothing that they sent is kept";
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

INSTANTIATE_TEST_SUITE_P(Roles, HostileChildren,
                         testing::Values("frontend", "worker", "worker frontend"));

TEST(HostileLoader, IsRefusedAndTheModelThatServesIsLeftAlone) {
    const uint64_t seed = the_seed();
    TestServer server(flags());
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    for (int life = 0; life < kLives && !testing::Test::HasFailure(); ++life) {
        const std::string id = "hostile-" + std::to_string(seed + static_cast<uint64_t>(life));
        order(server, shm::OrderKind::kLoad, id);
        server.expect("the end of " + id, [&](const Line& line) {
            return line["event"] == "rollout_ended" && line["model"] == id;
        });
        status_of(server);
    }
    EXPECT_LT(descriptors_of(server.pid()), 200u);
    const nlohmann::json status = status_of(server);
    for (const auto& process : status["processes"]) {
        if (process["role"] == "worker") {
            EXPECT_EQ(process["pid"], worker["pid"]);
        }
    }
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

}  // namespace
}  // namespace bitnetd::supervisor
