// Goal: a changed file is applied, or mended and applied, without a restart in between; what a
// failed reload leaves is found by the next one; each setting reaches whom it is for. Method: a
// real bitnetd with fake children; the file is written anew and HUP sent, and all is read from one
// log.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <fstream>
#include <map>
#include <set>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/channel.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/settings/listen_address.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

using Line = TestServer::Line;

constexpr std::string_view kListen = "listen = [\"unix:{folder}/a.sock\"]\n";
constexpr std::string_view kDemo = "model = [\"demo={folder}/model.gguf\"]\n";
// No canary; and nobody waits for what fake frontends never release.
constexpr std::string_view kRollout = "[rollout]\ncanary_copies = 0\ndrain_timeout_ms = 0\n";

// A file with these lines in [server] and what follows it.
std::string file(std::string_view server, std::string_view more = "") {
    std::string text = "[server]\n";
    if (server.find("listen =") == server.npos) text += kListen;
    if (server.find("model =") == server.npos) text += kDemo;
    return text + std::string(server) + std::string(kRollout) + std::string(more);
}

class Reloaded : public TestServer {
  public:
    explicit Reloaded(const std::string& text, std::vector<std::string> environment = {})
        : TestServer({}, std::move(environment), text) {}

    void reload(const std::string& text) {
        configure(text);
        signal(SIGHUP);
    }
    void add_model(const std::string& id) { std::ofstream(folder() + "/" + id + ".gguf") << id; }
    // The end of the rollout of this model; of processes, with an empty id.
    Line expect_end(const std::string& model) {
        return expect("the end of a rollout of \"" + model + "\"", [&](const Line& line) {
            return line["event"] == "rollout_ended" && line["model"] == model;
        });
    }
    void expect_nothing_to_do() {
        expect("a reload that changes nothing",
               [](const Line& line) { return line["event"] == "reload" && line["changed"] == ""; });
    }
    bool accepts(const std::string& name) const {
        const auto address = parse_listen_address("unix:" + folder() + "/" + name);
        const Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return connect(client.get(), reinterpret_cast<const sockaddr*>(&address->address),
                       address->length) == 0;
    }
};

TEST(Reload, AModelThatFailsIsLoadedOnceItIsMended) {
    Reloaded server(file(""));
    server.expect_event("ready");
    server.add_model("x");
    server.add_model("z");
    const std::string wanted =
        "model = [\"demo={folder}/model.gguf\", \"x={folder}/x.gguf\", "
        "\"y={folder}/y.gguf\", \"z={folder}/z.gguf\"]\n";
    server.reload(file(wanted));
    EXPECT_EQ(server.expect_end("x")["outcome"], "completed");
    EXPECT_EQ(server.expect_end("y")["outcome"], "failed");
    const Line dropped = server.expect_end("z");
    EXPECT_EQ(dropped["outcome"], "failed");
    EXPECT_EQ(dropped["reason"], "an earlier part of this reload failed");

    server.add_model("y");
    server.expect_event("reload");
    server.reload(file(wanted));
    EXPECT_EQ(server.expect_end("y")["outcome"], "completed");
    EXPECT_EQ(server.expect_end("z")["outcome"], "completed");
    server.expect_event("reload");
    server.signal(SIGHUP);
    EXPECT_EQ(server.expect_event("reload")["changed"], "");
}

// Neither did the server start with it, nor does its file change.
TEST(Reload, AModelThatDidNotLoadAtTheStartIsTriedAgain) {
    Reloaded server(file("model = [\"demo={folder}/model.gguf\", \"y={folder}/y.gguf\"]\n"));
    server.expect_event("model_refused");
    server.expect_event("ready");
    server.signal(SIGHUP);
    EXPECT_EQ(server.expect_end("y")["outcome"], "failed");
    server.add_model("y");
    server.signal(SIGHUP);
    EXPECT_EQ(server.expect_end("y")["outcome"], "completed");
    server.signal(SIGHUP);
    server.expect_nothing_to_do();
}

TEST(Reload, ARolledBackReloadLeavesTheSocketsAsTheyWere) {
    Reloaded server(file(""));
    server.expect_event("ready");
    const std::string other = "listen = [\"unix:{folder}/b.sock\"]\n";
    server.reload(file(other, "[worker]\nnull_step_us = 13\n"));
    EXPECT_EQ(server.expect_end("")["outcome"], "rolled_back");
    EXPECT_TRUE(server.accepts("a.sock"));

    server.reload(file(other));
    EXPECT_EQ(server.expect_end("")["outcome"], "completed");
    server.signal(SIGHUP);
    server.expect_nothing_to_do();
    EXPECT_TRUE(server.accepts("b.sock"));
    EXPECT_FALSE(server.accepts("a.sock"));
    // The new frontend has the new one alone.
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
    std::map<uint64_t, std::set<std::string>> listens;
    for (const Line& line : server.lines()) {
        if (line["event"] != "fake_heard" || line["what"] != "listen") continue;
        listens[line["incarnation"]].insert(line["address"]);
    }
    ASSERT_EQ(listens.size(), 2u);
    EXPECT_EQ(listens.begin()->second, std::set{"unix:" + server.folder() + "/a.sock"});
    EXPECT_EQ(listens.rbegin()->second, std::set{"unix:" + server.folder() + "/b.sock"});
}

TEST(Reload, WhatWasDoneBeforeAPartFailedIsUndoneByTheOldFile) {
    Reloaded server(file(""));
    server.expect_event("ready");
    server.reload(file("model = [\"demo={folder}/model.gguf\", \"y={folder}/y.gguf\"]\n",
                       "[api]\nstrict = 1\n[log]\nlevel = \"debug\"\n"));
    EXPECT_EQ(server.expect_end("")["outcome"], "completed");
    EXPECT_EQ(server.expect_end("y")["outcome"], "failed");
    server.reload(file(""));
    EXPECT_EQ(server.expect_end("")["outcome"], "completed");
    server.signal(SIGHUP);
    server.expect_nothing_to_do();
    // Neither does what the supervisor itself goes by stay.
    const auto is_level = [](const char* level) {
        return [=](const Line& line) {
            return line["event"] == "log_level" && line["level"] == level;
        };
    };
    server.expect("debug", is_level("debug"));
    server.expect("info", is_level("info"));
}

TEST(Reload, TheFirstModelOfTheListIsTheDefault) {
    Reloaded server(file("model = [\"demo={folder}/model.gguf\", \"b={folder}/model.gguf\"]\n"));
    const Line first = server.expect_event("worker_ready");
    const Line second = server.expect_event("worker_ready");
    ASSERT_EQ(second["model"], "b");
    server.expect_event("ready");
    server.reload(file("model = [\"b={folder}/model.gguf\", \"demo={folder}/model.gguf\"]\n"));
    const Line standing = server.expect_heard("standing");
    EXPECT_EQ(standing["model"], second["model_key"]);
    EXPECT_EQ(standing["default"], 1);
}

TEST(Reload, WhatOnlyARestartAppliesIsSaidEachTime) {
    Reloaded server(file(""));
    server.expect_event("ready");
    server.reload(file("state_dir = \"/nowhere\"\nkill_grace_ms = 60\n"));
    Line reload = server.expect_event("reload");
    EXPECT_EQ(reload["changed"], "server.state_dir, server.kill_grace_ms");
    EXPECT_EQ(reload["need_restart"], "server.state_dir");
    server.signal(SIGHUP);
    reload = server.expect_event("reload");
    EXPECT_EQ(reload["changed"], "server.state_dir");
    EXPECT_EQ(reload["need_restart"], "server.state_dir");
}

TEST(Reload, RingsGetTheirNewSize) {
    Reloaded server(file(""));
    server.expect_event("ready");
    const auto old_bytes = server.expect_heard("rings")["tokens"].get<uint64_t>();
    server.reload(file("", "[dispatch]\ntoken_ring_bytes = 65536\n"));
    EXPECT_EQ(server.expect_end("")["outcome"], "completed");
    server.expect_heard(
        "rings", [&](const Line& line) { return line["tokens"].get<uint64_t>() < old_bytes; });
}

// The old children beat once in two seconds; the roll takes a while, since nobody asks anything.
TEST(Reload, OldChildrenAreNotJudgedByAShorterInterval) {
    Reloaded server(file("heartbeat_interval_ms = 2000\nhang_timeout_ms = 20000\n"));
    server.expect_event("ready");
    std::string wanted = file("heartbeat_interval_ms = 20\nhang_timeout_ms = 200\n");
    wanted.replace(wanted.find("canary_copies = 0"), 17,
                   "canary_copies = 5\ncanary_timeout_ms = 10000");
    server.reload(wanted);
    EXPECT_EQ(server.expect_end("")["outcome"], "completed");
    for (const Line& line : server.lines()) {
        EXPECT_NE(line["event"], "worker_hung");
        EXPECT_NE(line["event"], "frontend_hung");
    }
}

// `level` of whoever was started last.
std::string level_of_next_worker(TestServer& server) {
    const Line worker = server.expect_event("worker_ready");
    return server.expect_heard("settings", [&](const Line& line) {
        return line["incarnation"] == worker["incarnation"];
    })["log_level"];
}

shm::CommandEndMessage command(const TestServer& server, shm::Command what, std::string_view text) {
    auto socket = shm::Channel::connect(server.folder() + "/control.sock");
    EXPECT_TRUE(socket.ok());
    shm::Channel channel(std::move(*socket));
    shm::CommandMessage message{};
    message.command = what;
    shm::set_field(message.text, text);
    EXPECT_TRUE(channel.send(shm::MessageType::kCommand, message).ok());
    auto answer = channel.wait(monotonic_ns() + 60 * kNsPerS);
    EXPECT_TRUE(answer.ok());
    return *answer->as<shm::CommandEndMessage>();
}

TEST(Reload, AnOrderedLogLevelHoldsForAllUntilTheReload) {
    Reloaded server(file("control = \"{folder}/control.sock\"\n"));
    const Line worker = server.expect_event("worker_ready");
    EXPECT_EQ(server.expect_heard("settings")["log_level"], "info");
    server.expect_event("ready");
    EXPECT_EQ(command(server, shm::Command::kLogLevel, "debug").failed, 0u);
    server.expect_heard("log_level", [](const Line& line) { return line["heard"] == "debug"; });
    kill(worker["pid"].get<pid_t>(), SIGKILL);
    EXPECT_EQ(level_of_next_worker(server), "debug");
    server.signal(SIGHUP);  // of an unchanged file
    server.expect_heard("log_level", [](const Line& line) { return line["heard"] == "info"; });
}

TEST(Reload, AChangedLogLevelIsThatOfRestartedChildrenToo) {
    Reloaded server(file(""));
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    server.reload(file("", "[log]\nlevel = \"warn\"\n"));
    server.expect_heard("log_level", [](const Line& line) {
        return line["heard"] == "warn" && line["role"] == "bitnetd-worker";
    });
    kill(worker["pid"].get<pid_t>(), SIGKILL);
    server.expect_heard("settings", [](const Line& line) { return line["log_level"] == "warn"; });
}

}  // namespace
}  // namespace bitnetd::supervisor
