#include "tests/unit/supervisor/frontend/http/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/clock.h"
#include "supervisor/frontend/http/chars.h"

namespace bitnetd::frontend::http {

void Client::send_some() {
    while (socket_ && !unsent_.empty()) {
        const ssize_t sent = send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            if (errno != EAGAIN) unsent_.clear();  // the server has closed
            break;
        }
        unsent_.erase(0, static_cast<size_t>(sent));
    }
    if (half_close_wanted_ && unsent_.empty()) {
        shutdown(socket_.get(), SHUT_WR);
        half_close_wanted_ = false;
    }
}

void Client::half_close() {
    half_close_wanted_ = true;
}

void Client::receive() {
    char buffer[64 * 1024];
    while (socket_ && reading_ && !closed) {
        const ssize_t got = recv(socket_.get(), buffer, sizeof buffer, 0);
        if (got > 0) {
            received.append(buffer, static_cast<size_t>(got));
            continue;
        }
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        closed = true;
        reset = got < 0;
    }
}

std::optional<Answer> Client::take_answer(bool head_only) {
    const size_t end = received.find("\r\n\r\n");
    if (end == std::string::npos) return std::nullopt;
    Answer answer;
    answer.status = std::stoi(received.substr(9, 3));
    for (size_t at = received.find("\r\n") + 2; at < end + 2;) {
        const size_t line_end = received.find("\r\n", at);
        const size_t colon = received.find(": ", at);
        std::string name = received.substr(at, colon - at);
        std::transform(name.begin(), name.end(), name.begin(), to_lower);
        EXPECT_EQ(answer.headers.count(name), 0u) << name;
        answer.headers[name] = received.substr(colon + 2, line_end - colon - 2);
        at = line_end + 2;
    }
    size_t at = end + 4;
    if (answer.headers.count("content-length") != 0 && !head_only) {
        const size_t bytes = std::stoul(answer.headers["content-length"]);
        if (received.size() < at + bytes) return std::nullopt;
        answer.body = received.substr(at, bytes);
        at += bytes;
    } else if (answer.headers.count("transfer-encoding") != 0 && !head_only) {
        for (;;) {
            const size_t line_end = received.find("\r\n", at);
            if (line_end == std::string::npos) return std::nullopt;
            const size_t bytes = std::stoul(received.substr(at, line_end - at), nullptr, 16);
            if (received.size() < line_end + 2 + bytes + 2) return std::nullopt;
            EXPECT_EQ(received.substr(line_end + 2 + bytes, 2), "\r\n");
            if (bytes > 0) answer.chunks.push_back(received.substr(line_end + 2, bytes));
            at = line_end + 2 + bytes + 2;
            if (bytes == 0) break;
            answer.body += answer.chunks.back();
        }
    }
    received.erase(0, at);
    return answer;
}

Harness::Harness() {
    EXPECT_EQ(uv_loop_init(&loop_), 0);
}

Harness::~Harness() {
    bool stopped = server_ == nullptr;
    if (server_) server_->stop([&] { stopped = true; });
    EXPECT_TRUE(until([&] { return stopped; }));
    server_.reset();
    EXPECT_EQ(uv_loop_close(&loop_), 0) << "a handle was left open";
}

void Harness::start(const Limits& limits) {
    server_ = std::make_unique<Server>(&loop_, *this, limits);
    ASSERT_TRUE(server_->listen(listen_tcp(AF_INET, port_)).ok());
}

Client& Harness::add_client(Fd socket) {
    fcntl(socket.get(), F_SETFL, O_NONBLOCK);
    clients_.push_back(std::make_unique<Client>(std::move(socket)));
    return *clients_.back();
}

Client& Harness::connect() {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // The kernel completes this from the backlog, without the server's doing.
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return add_client(std::move(socket));
}

Client& Harness::connect_pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    const int bytes = 4096;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    EXPECT_TRUE(server_->adopt(Fd(ends[0])).ok());
    return add_client(Fd(ends[1]));
}

bool Harness::until(const std::function<bool()>& done) {
    const uint64_t deadline_ns = monotonic_ns() + 10 * kNsPerS;
    while (!done()) {
        if (monotonic_ns() > deadline_ns) return false;
        turn(1);
    }
    return true;
}

void Harness::turn(int times) {
    for (int i = 0; i < times; ++i) {
        for (const auto& client : clients_)
            client->send_some();
        uv_run(&loop_, UV_RUN_NOWAIT);
        for (const auto& client : clients_)
            client->receive();
    }
}

Answer Harness::answer(Client& client, bool head_only) {
    std::optional<Answer> taken;
    EXPECT_TRUE(until([&] { return (taken = client.take_answer(head_only)) || client.closed; }))
        << "no answer; received: " << client.received.substr(0, 300);
    if (!taken) taken = client.take_answer(head_only);
    EXPECT_TRUE(taken.has_value()) << "closed without an answer; received: " << client.received;
    return taken.value_or(Answer{});
}

void Harness::expect_closed(Client& client) {
    EXPECT_TRUE(until([&] { return client.closed; })) << "still open";
}

void Harness::on_request(Exchange& exchange) {
    const Request& request = exchange.request();
    seen.push_back(std::string(to_string(request.method)) + ' ' + request.path);
    last_body = request.body;
    last_peer = request.peer;
    exchange.on_gone = [this, &exchange] {
        ++gone;
        std::erase(pending, &exchange);
    };
    exchange.on_drained = [this] { ++drained; };
    if (request.path.starts_with("/later")) {
        pending.push_back(&exchange);
    } else if (request.path == "/stream") {
        exchange.begin_stream();
        pending.push_back(&exchange);
    } else {
        Response response;
        response.body = request.path == "/big" ? std::string(1 << 20, 'b')
                                               : std::string(to_string(request.method)) + ' ' +
                                                     request.path + ' ' + request.body;
        exchange.respond(std::move(response));
    }
}

std::string Harness::error_body(int status, std::string_view code, std::string_view message,
                                std::string_view request_id) const {
    return std::to_string(status) + '|' + std::string(code) + '|' + std::string(message) + '|' +
           std::string(request_id);
}

Fd listen_tcp(int family, uint16_t& port) {
    Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_storage address{};
    socklen_t bytes = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    address.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
    else
        reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), bytes) != 0) return Fd();
    EXPECT_EQ(::listen(socket.get(), 128), 0);
    getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &bytes);
    // The port is at the same place in both families.
    port = ntohs(reinterpret_cast<sockaddr_in&>(address).sin_port);
    return socket;
}

Fd listen_unix(const std::string& path) {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket.get(), 128), 0);
    return socket;
}

std::string get(const std::string& path, const std::string& fields) {
    return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
}

std::string post(const std::string& path, const std::string& body, const std::string& fields) {
    return "POST " + path +
           " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           fields + "\r\n" + body;
}

}  // namespace bitnetd::frontend::http
