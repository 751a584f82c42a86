// The two ends of `./dev bench http` that must cost next to nothing themselves: a client that holds
// many event streams open and only counts, and a bare epoll + write loop that sends the same bytes
// as bitnetd did, which is the limit bitnetd is compared with.
//
//   bench_http client --port P --streams N --seconds S --tokens T [--record FILE]
//       opens N streams of T tokens each, again and again; prints JSON: tokens, events, bytes,
//       reads
//   bench_http bare --replay FILE --events-per-write K
//       prints its port, then answers every request with the recorded response, K events per write
//   bench_http hold --port P --streams N
//       opens N streams, prints "open", holds them until standard input ends
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"

namespace {

using bitnetd::monotonic_ns;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

int connect_to(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        fail("connect");
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

std::string stream_request(int tokens) {
    const std::string body =
        R"({"prompt":[1],"stream":true,"temperature":0,"ignore_eos":true,"max_tokens":)" +
        std::to_string(tokens) + "}";
    return "POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
           "Content-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        bytes.remove_prefix(static_cast<size_t>(sent));
    }
}

// Counts non-overlapping needles in a byte stream that comes in pieces. A needle that straddles two
// pieces is found by keeping its possible beginning.
class Counter {
  public:
    explicit Counter(std::string_view needle) : needle_(needle) {}
    uint64_t count(std::string_view piece) {
        uint64_t found = 0;
        if (!kept_.empty()) {
            const size_t taken = std::min(piece.size(), needle_.size() - 1);
            std::string seam = kept_ + std::string(piece.substr(0, taken));
            if (seam.find(needle_) != seam.npos) ++found;
        }
        for (size_t at = piece.find(needle_); at != piece.npos;
             at = piece.find(needle_, at + needle_.size())) {
            ++found;
        }
        kept_ = piece.substr(piece.size() - std::min(piece.size(), needle_.size() - 1));
        return found;
    }

  private:
    std::string needle_;
    std::string kept_;
};

struct Stream {
    int fd = -1;
    Counter events{"data: {"};
    Counter ends{"data: [DONE]\n\n"};
    std::string recorded;
};

struct Totals {
    uint64_t streams = 0, events = 0, bytes = 0, reads = 0;
};

int run_client(uint16_t port, int count, double seconds, int tokens, const std::string& record) {
    const std::string request = stream_request(tokens);
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    std::vector<Stream> streams(static_cast<size_t>(count));
    for (size_t i = 0; i < streams.size(); ++i) {
        streams[i].fd = connect_to(port);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = i;
        epoll_ctl(poll, EPOLL_CTL_ADD, streams[i].fd, &event);
        send_all(streams[i].fd, request);
    }
    Totals totals;
    bool recording = !record.empty();
    std::vector<char> buffer(256 * 1024);
    std::array<epoll_event, 256> ready{};
    const uint64_t begin = monotonic_ns();
    const uint64_t end = begin + static_cast<uint64_t>(seconds * 1e9);
    while (monotonic_ns() < end || recording) {
        const int n = epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 1000);
        for (int i = 0; i < n; ++i) {
            Stream& stream = streams[ready[static_cast<size_t>(i)].data.u64];
            const ssize_t got = recv(stream.fd, buffer.data(), buffer.size(), 0);
            if (got <= 0) fail("a stream ended");
            const std::string_view piece(buffer.data(), static_cast<size_t>(got));
            totals.bytes += piece.size();
            totals.events += stream.events.count(piece);
            ++totals.reads;
            const bool first = &stream == &streams[0];
            if (recording && first) stream.recorded += piece;
            if (stream.ends.count(piece) > 0) {
                ++totals.streams;
                if (recording && first) {
                    std::ofstream(record, std::ios::binary) << stream.recorded;
                    recording = false;
                }
                send_all(stream.fd, request);
            }
        }
    }
    const double elapsed = static_cast<double>(monotonic_ns() - begin) / 1e9;
    std::printf(
        "{\"seconds\": %.3f, \"tokens_s\": %.0f, \"events_s\": %.0f, \"bytes_s\": %.0f, "
        "\"events_per_read\": %.2f}\n",
        elapsed, static_cast<double>(totals.streams) * tokens / elapsed,
        static_cast<double>(totals.events) / elapsed, static_cast<double>(totals.bytes) / elapsed,
        static_cast<double>(totals.events) /
            static_cast<double>(std::max<uint64_t>(1, totals.reads)));
    return 0;
}

// The recorded response cut into what is written at once.
std::vector<std::string> cut(const std::string& response, int events_per_write) {
    std::vector<std::string> writes(1);
    int events = 0;
    size_t from = 0;
    while (from < response.size()) {
        const size_t at = response.find("\n\n\r\n", from);
        const size_t to = at == response.npos ? response.size() : at + 4;
        writes.back() += response.substr(from, to - from);
        from = to;
        if (++events % events_per_write == 0 && from < response.size()) writes.emplace_back();
    }
    return writes;
}

struct BareConnection {
    size_t next = 0;     // index of the write under way; writes.size() = idle
    size_t written = 0;  // of that write
};

int run_bare(const std::string& replay, int events_per_write) {
    std::ifstream file(replay, std::ios::binary);
    const std::string response{std::istreambuf_iterator<char>(file), {}};
    const std::vector<std::string> writes = cut(response, events_per_write);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener, 1024) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        fail("listen");
    }
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    const int poll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = listener;
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    std::vector<BareConnection> connections(65536, BareConnection{writes.size(), 0});
    std::vector<int> active;
    std::array<epoll_event, 256> ready{};
    std::array<char, 65536> sink{};
    for (;;) {
        const int n =
            epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), active.empty() ? -1 : 0);
        for (int i = 0; i < n; ++i) {
            const int fd = ready[static_cast<size_t>(i)].data.fd;
            if (fd == listener) {
                const int accepted =
                    accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (accepted < 0) continue;
                const int one = 1;
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.fd = accepted;
                epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
                continue;
            }
            const ssize_t got = recv(fd, sink.data(), sink.size(), 0);
            if (got <= 0) {
                close(fd);
                std::erase(active, fd);
                connections[static_cast<size_t>(fd)] = {writes.size(), 0};
                continue;
            }
            connections[static_cast<size_t>(fd)] = {0, 0};
            active.push_back(fd);
        }
        // One write per connection and turn, as a server that coalesces per loop turn does.
        for (const int fd : active) {
            BareConnection& connection = connections[static_cast<size_t>(fd)];
            const std::string& bytes = writes[connection.next];
            const ssize_t sent = send(fd, bytes.data() + connection.written,
                                      bytes.size() - connection.written, MSG_NOSIGNAL);
            if (sent < 0) continue;  // the client is behind: again next turn
            connection.written += static_cast<size_t>(sent);
            if (connection.written == bytes.size()) {
                connection.written = 0;
                ++connection.next;
            }
        }
        std::erase_if(active, [&](int fd) {
            return connections[static_cast<size_t>(fd)].next == writes.size();
        });
    }
}

int run_hold(uint16_t port, int count) {
    std::vector<int> fds;
    for (int i = 0; i < count; ++i) {
        fds.push_back(connect_to(port));
        send_all(fds.back(), stream_request(16));
    }
    std::printf("open\n");
    std::fflush(stdout);
    std::array<char, 64> sink{};
    while (read(STDIN_FILENO, sink.data(), sink.size()) > 0) {
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"the measuring ends of ./dev bench http"};
    app.require_subcommand(1);
    uint16_t port = 0;
    int streams = 100, tokens = 400, events_per_write = 1;
    double seconds = 5;
    std::string file;
    auto* client = app.add_subcommand("client", "hold streams open and count");
    client->add_option("--port", port)->required();
    client->add_option("--streams", streams);
    client->add_option("--seconds", seconds);
    client->add_option("--tokens", tokens);
    client->add_option("--record", file);
    auto* bare = app.add_subcommand("bare", "send a recorded response in a bare loop");
    bare->add_option("--replay", file)->required();
    bare->add_option("--events-per-write", events_per_write);
    auto* hold = app.add_subcommand("hold", "open streams and hold them");
    hold->add_option("--port", port)->required();
    hold->add_option("--streams", streams);
    CLI11_PARSE(app, argc, argv);
    if (client->parsed()) return run_client(port, streams, seconds, tokens, file);
    if (hold->parsed()) return run_hold(port, streams);
    return run_bare(file, events_per_write);
}
