// Goal: what the supervisor promises when children start, die, hang, lie and end, seen from
// outside. Method: a real bitnetd process with fake children (fakes/fake_child.cc) that report what
// they hear; the tests kill them and give them orders by signal, and read everything from one log.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "shm/control/channel.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/settings/listen_address.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

using Line = TestServer::Line;

const std::vector<std::string> kModel = {"--model", "demo={folder}/model.gguf"};

std::vector<std::string> with_model(std::vector<std::string> flags) {
    flags.insert(flags.begin(), kModel.begin(), kModel.end());
    return flags;
}

pid_t pid_of(const Line& line) {
    return line["pid"].get<pid_t>();
}

// PeerEnd as the fake prints it.
constexpr int kKilled = static_cast<int>(shm::PeerEnd::kKilled);
constexpr int kOwnFault = static_cast<int>(shm::PeerEnd::kOwnFault);

TEST(Supervisor, StartsEverythingAndDrainsOnTerm) {
    TestServer server(with_model({"--workers", "2"}));
    const Line listening = server.expect_event("listening");
    EXPECT_TRUE(listening["address"].get<std::string>().starts_with("127.0.0.1:"));
    server.expect_event("model_loaded");
    const Line kv = server.expect_event("kv_arena");
    EXPECT_EQ(kv["bytes_per_worker"].get<uint64_t>() % (2u << 20), 0u);
    const Line ready = server.expect_event("ready");
    EXPECT_EQ(ready["workers"], 2);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
    // The frontends end first: their streams need the workers.
    std::vector<std::string> ends;
    for (const Line& line : server.lines()) {
        const auto event = line["event"].get<std::string>();
        if (event == "draining" || event.ends_with("stopped")) ends.push_back(event);
    }
    const std::vector<std::string> expected = {"draining", "frontend_stopped", "worker_stopped",
                                               "worker_stopped", "stopped"};
    EXPECT_EQ(ends, expected);
}

TEST(Supervisor, FrontendHearsOfTheModelAndItsWorkers) {
    TestServer server(with_model({"--workers", "2", "--worker.slots_max", "8"}));
    server.expect_heard("model", [](const Line& line) { return line["id"] == "demo"; });
    server.expect_event("ready");
    // The worker's eight slots all belong to the one frontend.
    int peers = 0;
    while (peers < 2) {
        const Line peer = server.expect_heard(
            "peer", [](const Line& line) { return line["role"] == "bitnetd-frontend"; });
        ASSERT_FALSE(peer.is_null());
        EXPECT_EQ(peer["credits"], 8);
        ++peers;
    }
}

TEST(Supervisor, CreditsAreSplitOverTheFrontends) {
    TestServer server(with_model({"--server.frontends", "3"}));
    for (int i = 0; i < 3; ++i) {
        const Line peer = server.expect_heard(
            "peer", [](const Line& line) { return line["role"] == "bitnetd-worker"; });
        ASSERT_FALSE(peer.is_null());
        EXPECT_EQ(peer["credits"], 2);  // 8 slots / 3 frontends
    }
}

TEST(Supervisor, KilledWorkerIsReplacedAtOnce) {
    TestServer server(with_model({}));
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    kill(pid_of(worker), SIGKILL);
    const Line died = server.expect_event("worker_died");
    EXPECT_EQ(died["signal"], SIGKILL);
    EXPECT_EQ(died["own_fault"], false);
    EXPECT_EQ(died["restart_ms"], 0);
    const Line again = server.expect_event("worker_ready");
    EXPECT_GT(again["incarnation"], worker["incarnation"]);

    // The frontend heard it in order: the old one is gone, then the new one comes.
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
    std::vector<std::pair<std::string, uint64_t>> heard;
    for (const Line& line : server.lines()) {
        if (line["event"] != "fake_heard" || line["role"] != "bitnetd-frontend") continue;
        if (line["what"] == "peer_gone") {
            EXPECT_EQ(line["end"], kKilled);
        }
        if (line["what"] == "peer" || line["what"] == "peer_gone") {
            heard.emplace_back(line["what"], line["peer"].get<uint64_t>());
        }
    }
    const auto first = worker["incarnation"].get<uint64_t>();
    const auto second = again["incarnation"].get<uint64_t>();
    const std::vector<std::pair<std::string, uint64_t>> expected = {
        {"peer", first}, {"peer_gone", first}, {"peer", second}};
    EXPECT_EQ(std::vector(heard.begin(), heard.begin() + std::min<ptrdiff_t>(3, std::ssize(heard))),
              expected);
}

TEST(Supervisor, FailedCheckIsTheWorkersFaultAndItsLastWordsAreLogged) {
    TestServer server(with_model({"--server.restart_backoff_ms", "50"}));
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    kill(pid_of(worker), SIGHUP);
    const Line died = server.expect_event("worker_died");
    EXPECT_EQ(died["signal"], SIGABRT);
    EXPECT_EQ(died["own_fault"], true);
    EXPECT_GE(died["restart_ms"], 25);
    EXPECT_LE(died["restart_ms"], 50);
    EXPECT_NE(died["last_words"].get<std::string>().find("told to fail"), std::string::npos);
    server.expect_event("worker_ready");
}

// The hung worker is also stopped, so that it cannot die of the SIGABRT before the test lets it.
TEST(Supervisor, HungWorkerIsFencedBeforeItDies) {
    TestServer server(
        with_model({"--server.heartbeat_interval_ms", "20", "--server.hang_timeout_ms", "300",
                    "--server.kill_grace_ms", "60000"}),
        {"BITNETD_FAKE_WORKER=stops"});
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    kill(pid_of(worker), SIGUSR1);
    server.expect_event("worker_hung");
    const Line gone = server.expect_heard("peer_gone");
    EXPECT_EQ(gone["peer"], worker["incarnation"]);
    EXPECT_EQ(gone["end"], kOwnFault);
    kill(pid_of(worker), SIGCONT);
    const Line died = server.expect_event("worker_died");
    EXPECT_EQ(died["own_fault"], true);
    EXPECT_TRUE(died["reason"].get<std::string>().starts_with("hang"));
    const auto position = [&](const Line& wanted) {
        return std::find(server.lines().begin(), server.lines().end(), wanted);
    };
    EXPECT_LT(position(gone), position(died));
    server.expect_event("worker_ready");
}

// It may hold requests that it has not begun with.
TEST(Supervisor, WorkerThatHangsBetweenStepsIsReplaced) {
    TestServer server(
        with_model({"--server.heartbeat_interval_ms", "20", "--server.hang_timeout_ms", "300",
                    "--server.kill_grace_ms", "50"}));
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    kill(pid_of(worker), SIGSTOP);
    server.expect_event("worker_hung");
    server.expect_event("worker_died");
    server.expect_event("worker_ready");
}

TEST(Supervisor, HungFrontendIsReplaced) {
    TestServer server(
        with_model({"--server.heartbeat_interval_ms", "20", "--server.hang_timeout_ms", "300"}));
    const Line frontend = server.expect_event("frontend_ready");
    server.expect_event("ready");
    kill(pid_of(frontend), SIGUSR1);
    server.expect_event("frontend_hung");
    server.expect_event("frontend_died");
    server.expect_event("frontend_ready");
}

// A stopped process does not take SIGABRT.
TEST(Supervisor, StoppedWorkerIsKilledAfterTheGrace) {
    TestServer server(
        with_model({"--server.heartbeat_interval_ms", "20", "--server.hang_timeout_ms", "300",
                    "--server.kill_grace_ms", "50"}),
        {"BITNETD_FAKE_WORKER=stops"});
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    kill(pid_of(worker), SIGUSR1);
    const Line died = server.expect_event("worker_died");
    EXPECT_EQ(died["signal"], SIGKILL);
    EXPECT_EQ(died["own_fault"], true);
    server.expect_event("worker_ready");
}

TEST(Supervisor, ChildThatSendsNonsenseIsKilledAndReplaced) {
    for (const char* ready : {"worker_ready", "frontend_ready"}) {
        TestServer server(with_model({}));
        const Line child = server.expect_event(ready);
        kill(pid_of(child), SIGUSR2);
        const Line rejected = server.expect_event("child_rejected");
        EXPECT_EQ(pid_of(rejected), pid_of(child));
        const Line again = server.expect_event(ready);
        EXPECT_NE(pid_of(again), pid_of(child));
        server.signal(SIGTERM);
        EXPECT_EQ(server.wait_for_exit(), kExitOk);
    }
}

// One side alone had dropped the other, which would never have heard of it.
TEST(Supervisor, ABrokenRingEndsItsWorkerWhoeverSaysSo) {
    for (const char* reporter : {"frontend", "worker"}) {
        TestServer server(with_model({}), {std::string("BITNETD_FAKE_BROKEN=") + reporter});
        const Line frontend = server.expect_event("frontend_ready");
        const Line worker = server.expect_event("worker_ready");
        server.expect_event("ready");
        server.expect_heard("peer", [&](const Line& line) {
            return line["role"] == std::string("bitnetd-") + reporter;
        });
        kill(pid_of(reporter == std::string("worker") ? worker : frontend), SIGUSR2);
        const Line gone = server.expect_heard("peer_gone");
        EXPECT_EQ(gone["peer"], worker["incarnation"]);
        EXPECT_EQ(gone["end"], kOwnFault);
        const Line died = server.expect_event("worker_died");
        EXPECT_EQ(died["own_fault"], true);
        const Line again = server.expect_event("worker_ready");
        server.expect_heard("peer", [&](const Line& line) {
            return line["role"] == "bitnetd-frontend" && line["peer"] == again["incarnation"];
        });
        server.signal(SIGTERM);
        EXPECT_EQ(server.wait_for_exit(), kExitOk);
    }
}

TEST(Supervisor, DeadFrontendIsReplacedAndMeetsTheSameWorkers) {
    TestServer server(with_model({}));
    const Line frontend = server.expect_event("frontend_ready");
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    kill(pid_of(frontend), SIGKILL);
    server.expect_event("frontend_died");
    const Line again = server.expect_event("frontend_ready");
    // The successor learns of the model from its set-up and of the worker by kPeer.
    const Line peer = server.expect_heard("peer", [&](const Line& line) {
        return line["role"] == "bitnetd-frontend" && line["incarnation"] == again["incarnation"];
    });
    EXPECT_EQ(peer["peer"], worker["incarnation"]);
    server.signal(SIGTERM);
    server.wait_for_exit();
    bool told = false;
    for (const Line& line : server.lines()) {
        told |= line["event"] == "fake_heard" && line["role"] == "bitnetd-worker" &&
                line["what"] == "peer_gone" && line["peer"] == frontend["incarnation"];
    }
    EXPECT_TRUE(told);
}

TEST(Supervisor, BreakerOpensForAWorkerThatAlwaysDies) {
    TestServer server(
        with_model({"--server.restart_backoff_ms", "1", "--server.restart_breaker_deaths", "3",
                    "--server.restart_breaker_pause_ms", "3000000"}),
        {"BITNETD_FAKE_WORKER=exit"});
    for (int i = 0; i < 2; ++i) {
        const Line died = server.expect_event("worker_died");
        EXPECT_EQ(died["exit"], kExitSelfCheck);
        EXPECT_EQ(died["breaker_open"], false);
    }
    const Line last = server.expect_event("worker_died");
    EXPECT_EQ(last["breaker_open"], true);
    EXPECT_GE(last["restart_ms"], 1'500'000);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

TEST(Supervisor, WorkerThatNeverGetsReadyIsKilled) {
    TestServer server(with_model({"--server.worker_start_timeout_ms", "1000"}),
                      {"BITNETD_FAKE_WORKER=silent"});
    const Line died = server.expect_event("worker_died");
    EXPECT_EQ(died["signal"], SIGKILL);
    EXPECT_TRUE(died["reason"].get<std::string>().starts_with("start_timeout"));
}

TEST(Supervisor, RefusedModelEndsTheServerWithItsReason) {
    TestServer server(with_model({}), {"BITNETD_FAKE_LOADER=refuse"});
    const Line refused = server.expect_event("model_refused");
    EXPECT_EQ(refused["reason"], "tensor blk.0.ffn_up.weight: expected 512 bytes");
    EXPECT_EQ(server.wait_for_exit(), kExitModelRefused);
}

TEST(Supervisor, LoaderIsNotBelieved) {
    for (const char* how : {"unsealed", "nonsense", "crash"}) {
        TestServer server(with_model({}), {std::string("BITNETD_FAKE_LOADER=") + how});
        server.expect_event("model_refused");
        EXPECT_EQ(server.wait_for_exit(), kExitModelRefused) << how;
    }
}

TEST(Supervisor, MissingModelFileIsRefusedAndTheOtherServed) {
    TestServer server(with_model({"--model", "gone={folder}/gone.gguf"}));
    server.expect_event("model_refused");
    const Line ready = server.expect_event("ready");
    EXPECT_EQ(ready["models"], 1);
}

TEST(Supervisor, SecondTermStopsNow) {
    // The stopped frontend cannot drain.
    TestServer server(with_model({}));
    const Line frontend = server.expect_event("frontend_ready");
    server.expect_event("ready");
    kill(pid_of(frontend), SIGSTOP);
    server.signal(SIGTERM);
    server.expect_event("draining");
    server.signal(SIGTERM);
    server.expect_event("stopping_now");
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

TEST(Supervisor, DrainTimeoutEndsAFrontendThatDoesNotFinish) {
    TestServer server(
        with_model({"--server.drain_timeout_ms", "10", "--server.kill_grace_ms", "10"}));
    const Line frontend = server.expect_event("frontend_ready");
    server.expect_event("ready");
    kill(pid_of(frontend), SIGSTOP);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

TEST(Supervisor, TakenAddressIsSaidAtOnce) {
    TestServer first(with_model({}));
    const Line listening = first.expect_event("listening");
    TestServer second(with_model({"--listen", listening["address"].get<std::string>()}));
    const Line failed = second.expect_event("start_failed");
    EXPECT_NE(failed["error"].get<std::string>().find("another process"), std::string::npos);
    EXPECT_EQ(second.wait_for_exit(), kExitCannotListen);
}

// There is no program for it here: that is no taken address.
TEST(Supervisor, GpuWithoutItsProgramIsAWrongConfiguration) {
    TestServer server(with_model({"--server.gpu", "cuda:0"}));
    const Line failed = server.expect_event("start_failed");
    EXPECT_NE(failed["error"].get<std::string>().find("bitnetd-worker-cuda"), std::string::npos);
    EXPECT_EQ(server.wait_for_exit(), kExitUsage);
}

TEST(Supervisor, UnixListenerTakesConnectionsAndVanishesAtTheEnd) {
    TestServer server(with_model({"--listen", "unix:{folder}/http.sock"}));
    server.expect_event("ready");
    const std::string path = server.folder() + "/http.sock";
    auto address = parse_listen_address("unix:" + path);
    ASSERT_TRUE(address.ok());
    const Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&address->address),
                      address->length),
              0);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
    EXPECT_FALSE(std::filesystem::exists(path));
}

// The names of all segments that the control socket hands out.
std::vector<std::string> inspect(const std::string& path) {
    auto socket = shm::Channel::connect(path);
    if (!socket.ok()) return {socket.error().message};
    shm::Channel channel(std::move(*socket));
    EXPECT_TRUE(channel.send(shm::MessageType::kInspect).ok());
    std::vector<std::string> names;
    while (true) {
        auto message = channel.wait(monotonic_ns() + 60 * kNsPerS);
        if (!message.ok() || message->type != shm::MessageType::kInspectItem) return names;
        const auto item = message->as<shm::InspectItem>();
        EXPECT_EQ(message->fds.size(), 1u);
        EXPECT_EQ(fcntl(message->fds[0].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
        names.push_back(std::string(shm::field_text(item->name)) +
                        (item->alive != 0 ? "" : " (dead)"));
    }
}

TEST(Supervisor, ControlSocketListsSegmentsOfTheLivingAndTheDead) {
    TestServer server(with_model({"--server.control", "{folder}/control.sock"}));
    const Line worker = server.expect_event("worker_ready");
    server.expect_event("ready");
    const std::string path = server.folder() + "/control.sock";
    const std::vector<std::string> alive = {"supervisor/0", "frontend/0", "worker/0",
                                            "frontend/0 -> worker/0 requests",
                                            "frontend/0 -> worker/0 tokens"};
    EXPECT_EQ(inspect(path), alive);
    kill(pid_of(worker), SIGKILL);
    server.expect_event("worker_ready");
    std::vector<std::string> both = alive;
    both.insert(both.end(), {"frontend/0 -> worker/0 requests (dead)",
                             "frontend/0 -> worker/0 tokens (dead)", "worker/0 (dead)"});
    EXPECT_EQ(inspect(path), both);
    server.signal(SIGTERM);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
    EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace bitnetd::supervisor
