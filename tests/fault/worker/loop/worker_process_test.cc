// Goal: the real bitnetd-worker, confined as it is, serves over real rings, and wherever it is
// killed another one continues its flights with the same tokens. It ends as told, and says by its
// exit code why it could not start. Method: this test plays supervisor and frontend: boards,
// doorbells, sealed weights of a small random model, the binary started on descriptor 3. Waits have
// a watchdog, no upper time bound is asserted.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/config/params.h"
#include "shm/control/channel.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"
#include "tests/support/worker/loop_fixture.h"

namespace bitnetd::worker {
namespace {

using shm::MessageType;
using test::FakeFrontend;
using test::LoopFixture;
using test::Request;

constexpr uint64_t kWatchdogNs = 60 * kNsPerS;

template <typename T>
T require(Result<T> result) {
    if (!result.ok()) throw std::runtime_error(result.error().message);
    return std::move(result).value();
}

struct Start {
    Params params;
    uint64_t arena_bytes = 64 << 20;
    std::function<void(std::span<std::byte>)> spoil_weights = [](auto) {};

    Start() {
        params.worker_slots_max = 8;
        params.worker_step_tokens_max = 32;
        params.worker_threads = 2;
        params.server_heartbeat_interval_ms = 20;
        params.log_level = "error";
    }
};

class WorkerProcess {
  public:
    explicit WorkerProcess(const Start& start = {}) {
        static uint64_t next_incarnation = 500;
        const uint64_t incarnation = next_incarnation++;
        auto pair = require(shm::Channel::make_pair());
        channel_.emplace(std::move(pair.first));
        launch(pair.second.get());
        pair.second.reset();
        board_fd_ = require(shm::create_board({.role = shm::Role::kWorker,
                                               .slot = 0,
                                               .incarnation = incarnation,
                                               .device = "cpu:0"}));
        board_segment_ = require(shm::Segment::map(board_fd_.get(), shm::Access::kRead));
        bell_ = require(shm::Doorbell::create());
        send(MessageType::kSelf, shm::bytes_of(shm::SelfMessage{incarnation, 0, 0, 1, 0}),
             {board_fd_.get(), bell_.get()});
        const std::string settings = print_settings(start.params);
        send(MessageType::kSettings, std::as_bytes(std::span(settings)), {});
        const Fd weights = sealed_weights(start);
        send(MessageType::kWeights, shm::bytes_of(shm::ModelMessage{}), {weights.get()});
        const Fd arena = require(shm::Segment::create_memfd("kv", start.arena_bytes));
        EXPECT_TRUE(shm::seal_size(arena.get()).ok());
        send(MessageType::kKvArena, shm::bytes_of(shm::KvArenaMessage{start.arena_bytes}),
             {arena.get()});
        send(MessageType::kStart, {}, {});
    }
    ~WorkerProcess() { kill_now(); }

    shm::ReadyMessage wait_ready() {
        const auto message = require(channel_->wait(monotonic_ns() + kWatchdogNs));
        if (message.type != MessageType::kReady) throw std::runtime_error("not kReady");
        return require(message.as<shm::ReadyMessage>());
    }

    void connect(FakeFrontend& frontend) {
        const shm::Message message = frontend.introduction();
        std::vector<int> fds;
        for (const Fd& fd : message.fds)
            fds.push_back(fd.get());
        send(message.type, message.payload, fds);
    }

    void send(MessageType type, std::span<const std::byte> payload, const std::vector<int>& fds) {
        const auto sent = channel_->send(type, payload, fds);
        // A worker that refused what came first may be gone already.
        if (!sent.ok() && sent.error().code != ErrorCode::kUnavailable) {
            throw std::runtime_error(sent.error().message);
        }
    }

    void ring() {
        const shm::BoardView view = board();
        shm::Doorbell::for_producer(Fd(dup(bell_.get())), view.sleeping()).ring_if_sleeping();
    }

    shm::BoardView board() const { return require(shm::BoardView::open(board_segment_)); }
    void signal(int number) { kill(pid_, number); }
    void hang_up() { channel_.reset(); }

    void kill_now() {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        wait_end();
    }

    // Its exit code, or minus the signal.
    int wait_end() {
        int status = 0;
        const pid_t ended = waitpid(std::exchange(pid_, -1), &status, 0);
        if (ended < 0) throw std::runtime_error("waitpid failed");
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

  private:
    static Fd sealed_weights(const Start& start) {
        const auto model = LoopFixture::model().segment();
        Fd fd = require(shm::Segment::create_memfd("weights", model.size()));
        {
            auto segment = require(shm::Segment::map(fd.get(), shm::Access::kReadWrite));
            std::memcpy(segment.mutable_data(), model.data(), model.size());
            start.spoil_weights(segment.mutable_view());
        }
        EXPECT_TRUE(shm::seal_weights(fd.get()).ok());
        return require(shm::reopen_read_only(fd.get()));
    }

    void launch(int socket) {
        pid_ = fork();
        if (pid_ != 0) return;
        // The flag close-on-exec is not copied by dup2.
        if (socket == shm::kControlFd) fcntl(socket, F_SETFD, 0);
        if (socket != shm::kControlFd) dup2(socket, shm::kControlFd);
        const std::string program = std::string(BITNETD_BINARY_DIR) + "/bitnetd-worker";
        execl(program.c_str(), "bitnetd-worker", "--device", "cpu:0", nullptr);
        _exit(127);
    }

    std::optional<shm::Channel> channel_;
    Fd board_fd_, bell_;
    shm::Segment board_segment_;
    pid_t pid_ = -1;
};

// Listens until `done`, ringing now and then: the worker may sleep when a request comes.
void listen_until(WorkerProcess& worker, FakeFrontend& frontend,
                  const std::function<bool()>& done) {
    const uint64_t deadline_ns = monotonic_ns() + kWatchdogNs;
    while (!done()) {
        ASSERT_LT(monotonic_ns(), deadline_ns) << "watchdog";
        worker.ring();
        frontend.listen();
        std::this_thread::yield();
    }
}

Request request_of(uint64_t flight) {
    Request request;
    request.flight = flight;
    request.ids = LoopFixture::prompt(40, flight);
    request.new_tokens = 100;
    request.sampling.seed = flight;
    return request;
}

std::vector<uint32_t> undisturbed(const Request& request) {
    LoopFixture fixture;
    FakeFrontend frontend(1);
    fixture.connect(frontend);
    frontend.submit(request);
    fixture.settle({&frontend});
    return frontend.heard(request.flight).ids();
}

TEST(WorkerProcess, SaysReadyAndServes) {
    WorkerProcess worker;
    const shm::ReadyMessage ready = worker.wait_ready();
    EXPECT_EQ(ready.slots_max, 8u);
    EXPECT_FALSE(shm::field_text(ready.kernel_isa).empty());
    EXPECT_EQ(worker.board().state(), shm::ProcessState::kReady);
    FakeFrontend frontend(1);
    worker.connect(frontend);
    for (uint64_t flight = 1; flight <= 4; ++flight)
        frontend.submit(request_of(flight));
    for (uint64_t flight = 1; flight <= 4; ++flight) {
        listen_until(worker, frontend, [&] { return frontend.heard(flight).is_finished(); });
        EXPECT_EQ(frontend.heard(flight).ids(), undisturbed(request_of(flight)));
    }
    EXPECT_GT(worker.board().counter(Counter::kSteps), 0u);
    EXPECT_EQ(worker.board().worker().context_max, 160u);
}

TEST(WorkerProcess, AnotherOneContinuesWhereItWasKilled) {
    for (const size_t tokens_before : {0u, 1u, 37u}) {
        SCOPED_TRACE(tokens_before);
        Request request = request_of(9);
        const auto expected = undisturbed(request);
        FakeFrontend frontend(1);
        {
            WorkerProcess first;
            first.wait_ready();
            first.connect(frontend);
            frontend.submit(request);
            listen_until(first, frontend,
                         [&] { return frontend.heard(9).tokens.size() >= tokens_before; });
            first.kill_now();
            frontend.listen();  // what it had published is real
        }
        std::vector<uint32_t> produced = frontend.heard(9).ids();
        WorkerProcess second;
        second.wait_ready();
        FakeFrontend again(1);  // a new incarnation gets new rings
        second.connect(again);
        request.attempt = 2;
        request.prompt_count = static_cast<uint32_t>(request.ids.size());
        request.ids.insert(request.ids.end(), produced.begin(), produced.end());
        if (produced.size() < expected.size()) {
            again.submit(request);
            listen_until(second, again, [&] { return again.heard(9).is_finished(); });
            const auto rest = again.heard(9).ids();
            produced.insert(produced.end(), rest.begin(), rest.end());
        }
        EXPECT_EQ(produced, expected);
    }
}

TEST(WorkerProcess, DrainsWhenToldOrBySigterm) {
    for (const bool by_signal : {false, true}) {
        WorkerProcess worker;
        worker.wait_ready();
        FakeFrontend frontend(1);
        worker.connect(frontend);
        frontend.submit(request_of(1));
        listen_until(worker, frontend, [&] { return !frontend.heard(1).tokens.empty(); });
        if (by_signal) {
            worker.signal(SIGTERM);
        } else {
            worker.send(MessageType::kDrain, {}, {});
        }
        listen_until(worker, frontend, [&] { return frontend.heard(1).is_finished(); });
        EXPECT_EQ(worker.wait_end(), kExitOk);
        EXPECT_EQ(worker.board().state(), shm::ProcessState::kStopped);
    }
}

TEST(WorkerProcess, FinishesAndEndsWithoutASupervisor) {
    WorkerProcess worker;
    worker.wait_ready();
    FakeFrontend frontend(1);
    worker.connect(frontend);
    frontend.submit(request_of(1));
    listen_until(worker, frontend, [&] { return !frontend.heard(1).tokens.empty(); });
    worker.hang_up();
    listen_until(worker, frontend, [&] { return frontend.heard(1).is_finished(); });
    EXPECT_EQ(worker.wait_end(), kExitLostSupervisor);
}

TEST(WorkerProcess, TheNullModelNeedsNoComputation) {
    Start start;
    start.params.worker_null_model = 1;
    WorkerProcess worker(start);
    worker.wait_ready();
    FakeFrontend frontend(1);
    worker.connect(frontend);
    frontend.submit(request_of(1));
    listen_until(worker, frontend, [&] { return frontend.heard(1).is_finished(); });
    EXPECT_EQ(frontend.heard(1).tokens.size(), 100u);
}

TEST(WorkerProcess, SaysByItsExitCodeWhyItCannotStart) {
    Start spoilt;
    spoilt.spoil_weights = [](std::span<std::byte> weights) { weights[0] ^= std::byte{1}; };
    EXPECT_EQ(WorkerProcess(spoilt).wait_end(), kExitProtocol);
    Start small;
    small.arena_bytes = 4096;
    EXPECT_EQ(WorkerProcess(small).wait_end(), kExitNoMemory);
    WorkerProcess confused;
    confused.wait_ready();
    confused.send(MessageType::kListen, {}, {});
    EXPECT_EQ(confused.wait_end(), kExitProtocol);
}

}  // namespace
}  // namespace bitnetd::worker
