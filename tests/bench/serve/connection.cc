#include "tests/bench/serve/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <cerrno>

namespace bitnetd::bench {

Result<bool> Connection::open(const Address& address, int epoll, uint64_t tag) {
    Fd made(socket(address.data()->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) return io_error("open a socket", errno);
    if (address.is_tcp()) {
        const int on = 1;
        setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (connect(made.get(), address.data(), address.bytes()) != 0 && errno != EINPROGRESS) {
        if (errno == EAGAIN) return false;
        return io_error("connect to " + address.text(), errno);
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, made.get(), &event) != 0) {
        return io_error("watch a socket", errno);
    }
    socket_ = std::move(made);
    epoll_ = epoll;
    tag_ = tag;
    watches_writable_ = false;
    state_ = State::kIdle;
    return true;
}

void Connection::send(std::string_view request) {
    unsent_ = request;
    state_ = State::kBusy;
    write_on();
}

// A connection under way, or one that is broken, is told of by epoll.
void Connection::write_on() {
    const ssize_t sent = ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent > 0) unsent_.remove_prefix(static_cast<size_t>(sent));
    watch(!unsent_.empty());
}

void Connection::watch(bool writable) {
    if (writable == watches_writable_) return;
    watches_writable_ = writable;
    epoll_event event{};
    event.events = EPOLLIN | (writable ? uint32_t{EPOLLOUT} : 0u);
    event.data.u64 = tag_;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, socket_.get(), &event);
}

bool Connection::on_ready(uint32_t events, std::span<char> buffer, uint64_t now_ns) {
    if (state_ == State::kClosed) return false;
    if ((events & EPOLLOUT) != 0 && !unsent_.empty()) write_on();
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return false;
    const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (state_ == State::kIdle) {
        close();
        return false;
    }
    if (got <= 0) {
        reader_.end();
        return finish();
    }
    if (!reader_.feed({buffer.data(), static_cast<size_t>(got)}, now_ns)) return false;
    return finish();
}

bool Connection::finish() {
    const bool is_whole = reader_.answer().failure.empty() && unsent_.empty();
    if (is_whole && reader_.may_go_on()) {
        state_ = State::kIdle;
    } else {
        close();
    }
    return true;
}

void Connection::close() noexcept {
    socket_.reset();
    unsent_ = {};
    state_ = State::kClosed;
}

}  // namespace bitnetd::bench
