// Goal: what an operator asks at the wrong moment is refused in words, and changes nothing. Method:
// a real bitnetd process with fake children, asked over its control socket.
#include <gtest/gtest.h>

#include <csignal>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/channel.h"
#include "shm/control/text_field.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

using Line = TestServer::Line;

const std::vector<std::string> kFlags = {"--model", "demo={folder}/model.gguf", "--server.control",
                                         "{folder}/control.sock"};

// How the server answers: "ok: " or "failed: ", and its text.
std::string ask(const TestServer& server, const shm::CommandMessage& command) {
    auto socket = shm::Channel::connect(server.folder() + "/control.sock");
    if (!socket.ok()) return socket.error().message;
    shm::Channel channel(std::move(*socket));
    if (!channel.send(shm::MessageType::kCommand, command).ok()) return "not sent";
    auto message = channel.wait(monotonic_ns() + 60 * kNsPerS);
    if (!message.ok()) return message.error().message;
    const auto end = message->as<shm::CommandEndMessage>();
    if (!end.ok()) return end.error().message;
    return (end->failed != 0 ? "failed: " : "ok: ") + std::string(shm::field_text(end->text));
}

shm::CommandMessage restart_worker(uint64_t slot) {
    shm::CommandMessage command{};
    command.command = shm::Command::kRestartWorker;
    command.argument = slot;
    return command;
}

TEST(Orders, WorkerIsRestartedBesideTheOldOne) {
    TestServer server(kFlags);
    const Line before = server.expect_event("worker_ready");
    server.expect_event("ready");
    EXPECT_EQ(ask(server, restart_worker(7)), "failed: no worker has slot 7");
    EXPECT_EQ(ask(server, restart_worker(0)), "ok: rollout-1");
    const Line after = server.expect_event("worker_ready");
    EXPECT_GT(after["incarnation"], before["incarnation"]);
    EXPECT_EQ(server.expect_event("rollout_ended")["outcome"], "completed");
}

// The fake frontend answers no self-test: the swap goes on.
TEST(Orders, WorkerIsNotRestartedWhileARolloutRuns) {
    TestServer server(kFlags);
    server.expect_event("ready");
    shm::CommandMessage swap{};
    swap.command = shm::Command::kOrder;
    swap.order.kind = shm::OrderKind::kSwap;
    shm::set_field(swap.order.model, "demo");
    shm::set_field(swap.order.path, server.folder() + "/model.gguf");
    EXPECT_EQ(ask(server, swap), "ok: rollout-1");
    server.expect_event("rollout_started");
    EXPECT_EQ(ask(server, restart_worker(0)),
              "failed: another rollout is in progress; try again after it");
}

// A worker that started while the others end would never be told to: the server would not end.
TEST(Orders, WorkerIsNotRestartedWhileTheServerEnds) {
    TestServer server(kFlags);
    const Line frontend = server.expect_event("frontend_ready");
    server.expect_event("ready");
    kill(frontend["pid"].get<pid_t>(), SIGSTOP);
    server.signal(SIGTERM);
    server.expect_event("draining");
    EXPECT_EQ(ask(server, restart_worker(0)), "failed: the server is starting or stopping");
    kill(frontend["pid"].get<pid_t>(), SIGCONT);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

}  // namespace
}  // namespace bitnetd::supervisor
