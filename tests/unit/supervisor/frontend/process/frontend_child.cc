#include "tests/unit/supervisor/frontend/process/frontend_child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include "common/base/clock.h"
#include "shm/control/child_link.h"
#include "shm/control/text_field.h"
#include "shm/ring/doorbell.h"

namespace bitnetd::frontend {
namespace {

using shm::MessageType;

constexpr uint64_t kWatchdogNs = 60 * kNsPerS;

template <typename T>
T require(Result<T> result) {
    if (!result.ok()) throw std::runtime_error(result.error().message);
    return std::move(result).value();
}

sockaddr_in loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

}  // namespace

Params FrontendChild::quiet() {
    Params params;
    params.server_heartbeat_interval_ms = 20;
    params.log_level = "error";
    return params;
}

FrontendChild::FrontendChild(const Params& params) {
    auto pair = require(shm::Channel::make_pair());
    channel_.emplace(std::move(pair.first));
    launch(pair.second.get());
    pair.second.reset();
    board_fd_ = require(shm::create_board({shm::Role::kFrontend, 0, kIncarnation, ""}));
    board_segment_ = require(shm::Segment::map(board_fd_.get(), shm::Access::kRead));
    bell_ = require(shm::Doorbell::create());
    send(MessageType::kSelf, shm::SelfMessage{kIncarnation, 0, 0, 1, 0},
         {board_fd_.get(), bell_.get()});
    const std::string settings = print_settings(params);
    send_bytes(MessageType::kSettings, std::as_bytes(std::span(settings)), {});
    send_listener();
}

FrontendChild::~FrontendChild() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    wait_end();
}

void FrontendChild::launch(int socket) {
    pid_ = fork();
    if (pid_ != 0) return;
    // The flag close-on-exec is not copied by dup2.
    if (socket == shm::kControlFd) fcntl(socket, F_SETFD, 0);
    if (socket != shm::kControlFd) dup2(socket, shm::kControlFd);
    execl(BITNETD_BINARY_DIR "/bitnetd-frontend", "bitnetd-frontend", nullptr);
    _exit(127);
}

void FrontendChild::send_listener() {
    const Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.get(), any, bytes) != 0 || listen(listener.get(), 16) != 0 ||
        getsockname(listener.get(), any, &bytes) != 0) {
        throw std::runtime_error("no listening socket");
    }
    port_ = ntohs(address.sin_port);
    send(MessageType::kListen, shm::ListenMessage{}, {listener.get()});
}

void FrontendChild::start_and_wait() {
    start();
    expect(MessageType::kReady);
}

void FrontendChild::send_bytes(MessageType type, std::span<const std::byte> payload,
                               const std::vector<int>& fds) {
    const auto sent = channel_->send(type, payload, fds);
    // One that refused what came first may be gone already.
    if (!sent.ok() && sent.error().code != ErrorCode::kUnavailable) {
        throw std::runtime_error(sent.error().message);
    }
}

void FrontendChild::send_model(uint64_t key, const std::string& id,
                               std::span<const std::byte> image, Seal seal) {
    const Fd fd = require(shm::Segment::create_memfd("vocabulary", image.size()));
    {
        auto segment = require(shm::Segment::map(fd.get(), shm::Access::kReadWrite));
        std::memcpy(segment.mutable_data(), image.data(), image.size());
    }
    if (seal == Seal::kSealed) {
        EXPECT_TRUE(shm::seal_weights(fd.get()).ok());
    }
    const Fd read_only = require(shm::reopen_read_only(fd.get()));
    shm::ModelMessage message{};
    message.model_key = key;
    message.is_default = key == 1 ? 1 : 0;
    message.facts.vocab = 256;
    message.facts.context = 64;
    shm::set_field(message.id, id);
    send(MessageType::kModel, message, {read_only.get()});
}

shm::Message FrontendChild::expect(MessageType type) {
    while (true) {
        auto message = require(channel_->wait(monotonic_ns() + kWatchdogNs));
        if (message.type == type) return message;
    }
}

void FrontendChild::await_words() const {
    pollfd words{channel_->fd(), POLLIN, 0};
    EXPECT_EQ(poll(&words, 1, 60'000), 1);
}

void FrontendChild::ring() const {
    const uint64_t one = 1;
    EXPECT_EQ(write(bell_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
}

shm::BoardView FrontendChild::board() const {
    return require(shm::BoardView::open(board_segment_));
}

void FrontendChild::await(const std::function<bool()>& done) const {
    const uint64_t deadline_ns = monotonic_ns() + kWatchdogNs;
    while (!done()) {
        if (monotonic_ns() > deadline_ns) throw std::runtime_error("watchdog");
        std::this_thread::yield();
    }
}

int FrontendChild::wait_end() {
    int status = 0;
    const pid_t ended = waitpid(std::exchange(pid_, -1), &status, 0);
    if (ended < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Fd FrontendChild::connect() const {
    Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(port_);
    // The kernel completes this from the backlog, without the child's doing.
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
}

void FrontendChild::say(const Fd& socket, const std::string& bytes) {
    EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
}

std::string FrontendChild::read_to_end(const Fd& socket) {
    std::string received;
    char buffer[4096];
    while (true) {
        const ssize_t got = recv(socket.get(), buffer, sizeof buffer, 0);
        if (got <= 0) return received;
        received.append(buffer, static_cast<size_t>(got));
    }
}

}  // namespace bitnetd::frontend
