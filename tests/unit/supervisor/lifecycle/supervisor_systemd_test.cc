// Goal: what systemd is told while a server starts and ends lets it neither take one for ready that
// is not nor kill one that drains. Method: a real bitnetd with fake children, and a notify socket
// that is read all the time (a full one would stop the server).
#include <gtest/gtest.h>

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include "common/config/exit_codes.h"
#include "supervisor/lifecycle/handover/systemd_link.h"
#include "tests/unit/supervisor/lifecycle/handover/notify_socket.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

const std::string kLast = "the test is over";

class Systemd {
  public:
    Systemd() : reader_([this] { read(); }) {}
    ~Systemd() { end(); }

    // Waits for this assignment, after the first `from` messages; the index of the next message.
    size_t wait_for(const std::string& key, size_t from = 0) {
        std::unique_lock lock(mutex_);
        size_t found = from;
        changed_.wait(lock, [&] {
            while (found < said_.size() && said_[found].value(key) == "(none)")
                ++found;
            return found < said_.size();
        });
        return found + 1;
    }
    // All that was said.
    const std::vector<Notification>& end() {
        if (reader_.joinable()) {
            systemd::status(kLast);
            reader_.join();
        }
        return said_;
    }

  private:
    void read() {
        while (true) {
            Notification message = socket_.receive();
            const bool is_last = message.value("STATUS") == kLast;
            const std::lock_guard lock(mutex_);
            said_.push_back(std::move(message));
            changed_.notify_all();
            if (is_last) return;
        }
    }

    NotifySocket socket_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Notification> said_;
    std::thread reader_;
};

const std::vector<std::string> kFlags = {
    "--model", "demo={folder}/model.gguf", "--server.heartbeat_interval_ms",
    "20",      "--server.hang_timeout_ms", "600000"};

TEST(SupervisorAndSystemd, AServerThatStartsIsNotReadyForAHangup) {
    Systemd systemd;
    TestServer server(kFlags, {"BITNETD_FAKE_WORKER=silent"});
    server.expect_event("worker_started");
    server.signal(SIGHUP);
    server.expect_event("reload_refused");
    server.signal(SIGQUIT);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
    for (const Notification& said : systemd.end())
        EXPECT_EQ(said.value("READY"), "(none)");
}

TEST(SupervisorAndSystemd, AServerThatDrainsAsksForTime) {
    Systemd systemd;
    TestServer server(kFlags);
    const auto frontend = server.expect_event("frontend_ready");
    server.expect_event("ready");
    kill(frontend["pid"].get<pid_t>(), SIGSTOP);
    server.signal(SIGTERM);
    const size_t stopping = systemd.wait_for("STOPPING");
    systemd.wait_for("EXTEND_TIMEOUT_USEC", stopping);
    kill(frontend["pid"].get<pid_t>(), SIGCONT);
    EXPECT_EQ(server.wait_for_exit(), kExitOk);
}

}  // namespace
}  // namespace bitnetd::supervisor
