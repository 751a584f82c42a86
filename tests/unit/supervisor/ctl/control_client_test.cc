// Goal: bitnetctl gets the server's answer whole, watches what it began, and survives a server that
// says too much, breaks the protocol or goes away.
// Method: a fake control listener in a thread of its own, answering as told; commands run as the
// program runs them, their standard output caught.
#include "supervisor/ctl/control_client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "shm/control/text_field.h"
#include "supervisor/ctl/answer_json.h"
#include "supervisor/ctl/server_command.h"

namespace bitnetd::supervisor {
namespace {

using shm::Channel;
using shm::Command;
using shm::CommandMessage;
using shm::MessageType;

constexpr uint64_t kPatienceNs = 60 * kNsPerS;

// Takes one connection after the other; `answer` is given the command and the channel, which is
// closed when it returns.
class FakeServer {
  public:
    using Answer = std::function<void(const CommandMessage&, Channel&)>;

    explicit FakeServer(std::vector<Answer> answers) : answers_(std::move(answers)) {
        std::string name =
            (std::filesystem::temp_directory_path() / "bitnetd-test-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        folder_ = name;
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
        socket_ = Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            listen(socket_.get(), 8) != 0) {
            throw std::runtime_error("listen");
        }
        thread_ = std::thread([this] { serve(); });
    }
    ~FakeServer() {
        thread_.join();
        std::filesystem::remove_all(folder_);
    }
    std::string path() const { return folder_ + "/control.sock"; }

  private:
    void serve() {
        for (const Answer& answer : answers_) {
            pollfd ready{socket_.get(), POLLIN, 0};
            if (poll(&ready, 1, static_cast<int>(kPatienceNs / kNsPerMs)) != 1) return;
            Channel channel(
                Fd(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)));
            auto message = channel.wait(monotonic_ns() + kPatienceNs);
            if (!message.ok()) continue;  // the client had nothing to ask
            const auto command = message->as<CommandMessage>();
            ASSERT_TRUE(command.ok()) << command.error().message;
            answer(*command, channel);
            while (channel.wants_write() && channel.flush().ok()) {
                pollfd writable{channel.fd(), POLLOUT, 0};
                poll(&writable, 1, 1000);
            }
        }
    }
    std::vector<Answer> answers_;
    std::string folder_;
    Fd socket_;
    std::thread thread_;
};

void say(Channel& channel, const std::string& text) {
    EXPECT_TRUE(channel.send_text(MessageType::kCommandText, text).ok());
}

void end(Channel& channel, bool failed, const std::string& text = "") {
    shm::CommandEndMessage message{};
    message.failed = failed ? 1 : 0;
    shm::set_field(message.text, text);
    EXPECT_TRUE(channel.send(MessageType::kCommandEnd, message).ok());
}

FakeServer::Answer answer_with(std::vector<std::string> texts, bool failed = false,
                               const std::string& why = "") {
    return [=](const CommandMessage&, Channel& channel) {
        for (const std::string& text : texts)
            say(channel, text);
        end(channel, failed, why);
    };
}

// A text that the client does not take: it may be gone before the end is said.
FakeServer::Answer answer_wrongly(const std::string& text) {
    return [=](const CommandMessage&, Channel& channel) {
        say(channel, text);
        static_cast<void>(channel.send(MessageType::kCommandEnd, shm::CommandEndMessage{}));
    };
}

struct Ran {
    int exit_code;
    std::string out;
    std::string err;
};

Ran run(const std::string& control, ServerCommand command) {
    command.control = control;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int exit_code = run_server_command(command);
    std::fflush(stdout);
    return {exit_code, testing::internal::GetCapturedStdout(),
            testing::internal::GetCapturedStderr()};
}

ServerCommand asking(Command what, Answer answer = Answer::kOutcome) {
    ServerCommand command;
    command.command = what;
    command.answer = answer;
    return command;
}

ServerCommand status(bool json) {
    ServerCommand command = asking(Command::kStatus, Answer::kStatus);
    command.json = json;
    return command;
}

TEST(ControlClient, AnAnswerInPiecesIsPutTogether) {
    const FakeServer server({answer_with({"{\"version\": \"9.9", ".9\", \"pid\"", ": 12}"})});
    const Ran ran = run(server.path(), status(false));
    EXPECT_EQ(ran.exit_code, kExitOk) << ran.err;
    EXPECT_TRUE(ran.out.starts_with("bitnetd 9.9.9, pid 12, up 0.00 s\n")) << ran.out;
}

TEST(ControlClient, JsonIsForMachines) {
    const FakeServer server({answer_with({R"({"models": [{"id": "a\u001b"}], "pid": 3})"}),
                             answer_with({R"({"models": [{"id": "a"}], "pid": 3})"})});
    const Ran all = run(server.path(), status(true));
    EXPECT_EQ(Json::parse(all.out)["pid"], 3);
    EXPECT_EQ(all.out.find('\x1b'), std::string::npos);
    ServerCommand models = status(true);
    models.answer = Answer::kModels;
    const Json shown = Json::parse(run(server.path(), models).out);
    EXPECT_EQ(shown["models"][0]["id"], "a");
    EXPECT_FALSE(shown.contains("pid"));
}

TEST(ControlClient, NobodyThereHasAnExitCodeOfItsOwn) {
    const Ran ran = run("/nowhere/control.sock", status(false));
    EXPECT_EQ(ran.exit_code, kExitNoServer);
    EXPECT_NE(ran.err.find("/nowhere/control.sock"), std::string::npos);
    EXPECT_EQ(ran.out, "");
    ServerCommand top = asking(Command::kStatus, Answer::kTop);
    top.count = 1;
    EXPECT_EQ(run("/nowhere/control.sock", top).exit_code, kExitNoServer);
}

TEST(ControlClient, ARefusalIsSaid) {
    const FakeServer server({answer_with({}, true, "b.toml:3: server.workers: \x1b[2Jexpected")});
    const Ran ran = run(server.path(), asking(Command::kReload));
    EXPECT_EQ(ran.exit_code, kExitFailed);
    EXPECT_EQ(ran.err, "bitnetctl: b.toml:3: server.workers: ?[2Jexpected\n");
}

TEST(ControlClient, WhatIsAskedArrives) {
    CommandMessage asked{};
    const FakeServer::Answer keep = [&](const CommandMessage& message, Channel& channel) {
        asked = message;
        end(channel, false, "rollout-4");
    };
    const FakeServer server({keep, keep, keep});
    ServerCommand restart = asking(Command::kRestartWorker);
    restart.worker = "worker/3";
    EXPECT_EQ(run(server.path(), restart).out, "rollout-4\n");
    EXPECT_EQ(asked.command, Command::kRestartWorker);
    EXPECT_EQ(asked.argument, 3u);
    EXPECT_EQ(asked.flags, 0u);

    ServerCommand level = asking(Command::kLogLevel);
    level.level = "debug";
    EXPECT_EQ(run(server.path(), level).exit_code, kExitOk);
    EXPECT_EQ(shm::field_text(asked.text), "debug");

    ServerCommand swap = asking(Command::kOrder);
    swap.order = shm::OrderKind::kSwap;
    swap.model = "demo";
    swap.path = "/m/../m/new.gguf";
    swap.strategy = "blue_green";
    swap.prompts = {"one", "two"};
    EXPECT_EQ(run(server.path(), swap).exit_code, kExitOk);
    EXPECT_EQ(asked.flags, shm::kCommandWatch);
    EXPECT_EQ(asked.order.kind, shm::OrderKind::kSwap);
    EXPECT_EQ(asked.order.strategy, shm::SwapStrategy::kBlueGreen);
    EXPECT_EQ(asked.order.rollback_on_failure, 1u);
    EXPECT_EQ(shm::field_text(asked.order.model), "demo");
    EXPECT_EQ(shm::field_text(asked.order.path), "/m/new.gguf");
    EXPECT_EQ(asked.order.test_prompts, 2u);
    EXPECT_EQ(shm::field_text(asked.order.prompts[1]), "two");
}

TEST(ControlClient, ARolloutIsWatchedToItsEnd) {
    const std::vector<std::string> lines = {
        R"({"id":"rollout-1","kind":"swap","model":"a","phase":"prepare","status":"running"})",
        R"({"id":"rollout-1","kind":"swap","model":"a","phase":"done","status":"completed"})",
        R"({"id":"rollout-2","kind":"reload","phase":"roll","status":"rolled_back","reason":"slow"})"};
    const FakeServer server({answer_with(lines), answer_with(lines, true, "rolled back: slow")});
    ServerCommand reload = asking(Command::kReload);
    reload.wait = true;
    const Ran done = run(server.path(), reload);
    EXPECT_EQ(done.exit_code, kExitOk);
    EXPECT_EQ(done.out, "rollout-1 swap a completed\nrollout-2 reload rolled_back: slow\n");

    reload.json = true;
    const Ran failed = run(server.path(), reload);
    EXPECT_EQ(failed.exit_code, kExitFailed);
    EXPECT_EQ(failed.err, "bitnetctl: rolled back: slow\n");
    const Json outcome = Json::parse(failed.out);
    EXPECT_EQ(outcome["ok"], false);
    EXPECT_EQ(outcome["rollouts"].size(), 2u);
    EXPECT_EQ(outcome["rollouts"][0]["status"], "completed");
}

TEST(ControlClient, HostileAnswersDoNoHarm) {
    const std::string big(shm::kControlPayloadMax, 'x');
    const FakeServer server({
        answer_wrongly("this is \x1b[2J no JSON"),
        [&](const CommandMessage&, Channel& channel) {  // more than we take
            for (size_t sent = 0; sent <= kAnswerBytesMax; sent += big.size()) {
                if (!channel.send_text(MessageType::kCommandText, big).ok()) return;
                while (channel.wants_write()) {
                    pollfd writable{channel.fd(), POLLOUT, 0};
                    poll(&writable, 1, 1000);
                    if (!channel.flush().ok()) return;
                }
            }
        },
        [](const CommandMessage&, Channel&) {},  // closes at once
        [](const CommandMessage&, Channel& channel) {
            EXPECT_TRUE(channel.send_text(MessageType::kCommandEnd, "short").ok());
        },
        [](const CommandMessage&, Channel& channel) {
            EXPECT_TRUE(channel.send(MessageType::kReady).ok());
        },
        [](const CommandMessage&, Channel& channel) {
            EXPECT_EQ(send(channel.fd(), "noise", 5, MSG_NOSIGNAL), 5);
        },
        [](const CommandMessage&, Channel& channel) {  // a descriptor that nobody asked for
            const int fds[] = {STDERR_FILENO};
            EXPECT_TRUE(channel.send(MessageType::kCommandText, {}, fds).ok());
        },
        answer_wrongly("[1, 2]"),  // a rollout must be an object
    });
    for (const char* why : {"not JSON", "longer than", "closed the connection", "", "not an answer",
                            "", "descriptor", "expected a rollout"}) {
        ServerCommand command = status(false);
        if (std::string_view(why) == "expected a rollout") {
            command = asking(Command::kReload);
            command.wait = true;
        }
        const Ran ran = run(server.path(), command);
        EXPECT_EQ(ran.exit_code, kExitFailed) << why;
        EXPECT_NE(ran.err.find(why), std::string::npos) << ran.err;
        EXPECT_EQ(ran.err.find('\x1b'), std::string::npos);
        EXPECT_EQ(ran.out, "");
    }
}

TEST(ControlClient, AnUpgradeIsFollowedToTheSuccessor) {
    const auto upgrade = [](const char* id, uint64_t started, const char* standing) {
        return Json{{"id", id},
                    {"kind", "upgrade"},
                    {"status", standing},
                    {"started_unix_ms", started},
                    {"reason", "x"}};
    };
    const uint64_t later = unix_milliseconds() + 3'600'000;
    const Json old = upgrade("rollout-1", 5, "failed");
    const auto status_of = [](Json running, Json history) {
        return answer_with({dumped({{"rollout", running}, {"rollouts", history}}, -1)});
    };
    const FakeServer server({
        [&](const CommandMessage&, Channel& channel) {
            say(channel, dumped(upgrade("rollout-2", later, "running"), -1));
        },  // and it is replaced
        [](const CommandMessage&, Channel&) {},
        status_of(nullptr, Json::array({old})),
        status_of(upgrade("rollout-2", later, "running"), Json::array({old})),
        status_of(nullptr, Json::array({upgrade("rollout-2", later, "completed"), old})),
    });
    ServerCommand command = asking(Command::kUpgrade);
    command.wait = true;
    const Ran ran = run(server.path(), command);
    EXPECT_EQ(ran.exit_code, kExitOk) << ran.err;
    EXPECT_TRUE(ran.out.starts_with("rollout-2 upgrade completed")) << ran.out;
}

TEST(ControlClient, TopPrintsSnapshots) {
    const Json first = {{"version", "1"},
                        {"processes",
                         {{{"name", "worker/0"},
                           {"incarnation", 1},
                           {"counters", {{"bitnet_decode_tokens_total", 10}}}}}}};
    const FakeServer server({answer_with({dumped(first, -1)}), answer_with({dumped(first, -1)})});
    ServerCommand top = asking(Command::kStatus, Answer::kTop);
    top.count = 2;
    const Ran ran = run(server.path(), top);
    EXPECT_EQ(ran.exit_code, kExitOk) << ran.err;
    EXPECT_EQ(ran.out.find("tokens/s"), ran.out.rfind("tokens/s drawn")) << ran.out;
    EXPECT_NE(ran.out.find("tokens/s"), std::string::npos);
}

}  // namespace
}  // namespace bitnetd::supervisor
