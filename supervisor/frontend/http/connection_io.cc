// Output, deadlines and the end of a connection.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "supervisor/frontend/http/connection.h"
#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {
namespace {

// An idle connection keeps no more buffer than this, in and out each.
constexpr size_t kKeptBufferBytes = 4 * 1024;

void clear_buffer(std::string& buffer) {
    if (buffer.capacity() > kKeptBufferBytes) std::string().swap(buffer);
    buffer.clear();
}

}  // namespace

void Connection::pump() {
    const bool resumes = state_ == State::kAnswered || parse_paused_;
    if (state_ == State::kAnswered) release();
    if (state_ == State::kReading && resumes) advance_kept();
    if (state_ == State::kReading && end_of_input_ && !parse_paused_) state_ = State::kClosing;
    if (state_ == State::kClosed || !flush()) return;
    if (state_ == State::kReading && in_.empty()) clear_buffer(in_);
    // Output stood in the way of the next request and has gone: go on.
    if (parse_paused_ && unsent_bytes() <= server_.limits().output_bytes_max) {
        server_.want_pump(*this);
    }
    if (state_ == State::kClosing && unsent_bytes() == 0) begin_linger();
    if (state_ == State::kClosed) return;
    if (server_.hands_over() && is_idle()) server_.offer_idle();
    update_interest();
    update_due();
}

// False when the connection was lost.
bool Connection::flush() {
    frame_events();
    // Framing and the head count, too: whoever saw more than the limit waits for on_drained.
    if (state_ == State::kStreaming && unsent_bytes() > kSlowReaderBytes) was_slow_ = true;
    if (unwritten_bytes() == 0) return true;
    write_out();
    if (state_ == State::kClosed) return false;
    if (unwritten_bytes() > 0) return true;
    if (was_slow_ && state_ == State::kStreaming) {
        was_slow_ = false;
        if (on_drained) on_drained();
    }
    return true;
}

// Gives the kernel what it takes.
void Connection::write_out() {
    while (unwritten_bytes() > 0) {
        const ssize_t sent =
            ::send(socket_.get(), out_.data() + out_sent_, unwritten_bytes(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) return lose();
        out_sent_ += static_cast<size_t>(sent);
        server_.counters().sent_bytes += static_cast<uint64_t>(sent);
        write_progress_ms_ = server_.now_ms();
    }
    const bool was_blocked = (interest_ & UV_WRITABLE) != 0;
    if (unwritten_bytes() == 0) {
        out_sent_ = 0;
        clear_buffer(out_);
        return;
    }
    if (!was_blocked) write_progress_ms_ = server_.now_ms();  // the client's time starts now
    if (out_sent_ > out_.size() / 2) {  // moves each byte at most once on average
        out_.erase(0, out_sent_);
        out_sent_ = 0;
    }
}

// Says that nothing more comes, then waits for the client to have read that.
void Connection::begin_linger() {
    if (end_of_input_) return close_now();
    shutdown(socket_.get(), SHUT_WR);
    state_ = State::kLingering;
    linger_began_ms_ = server_.now_ms();
    std::string().swap(in_);
}

void Connection::update_interest() {
    int wanted = 0;
    const bool is_paused =
        state_ == State::kReading
            ? parse_paused_
            : is_outstanding() && in_.size() >= server_.limits().pipeline_bytes_max;
    if (!end_of_input_ && !is_paused) wanted |= UV_READABLE;
    // While we do not read, the kernel still tells when the client leaves; once is enough.
    if (is_paused && !peer_half_closed_) wanted |= UV_DISCONNECT;
    if (unwritten_bytes() > 0) wanted |= UV_WRITABLE;
    if (wanted == interest_) return;
    interest_ = wanted;
    if (wanted == 0)
        uv_poll_stop(&poll_);
    else
        uv_poll_start(&poll_, wanted, on_ready);
}

bool Connection::is_idle() const {
    return state_ == State::kReading && parser_.state() == RequestParser::State::kHead &&
           !head_begun_ && unsent_bytes() == 0;
}

// When the next bytes of a request must have come.
uint64_t Connection::reading_due_ms() const {
    const Limits& limits = server_.limits();
    if (parser_.state() == RequestParser::State::kBody) {
        return body_progress_ms_ + limits.body_timeout_ms;
    }
    if (head_begun_) return head_began_ms_ + limits.head_timeout_ms;
    const uint64_t patience_ms = served_ ? limits.keep_alive_timeout_ms : limits.head_timeout_ms;
    const uint64_t due = idle_since_ms_ + patience_ms;
    if (!server_.ends()) return due;
    return std::min(due, std::max(idle_since_ms_, server_.drain_began_ms()) + limits.drain_idle_ms);
}

void Connection::update_due() {
    const Limits& limits = server_.limits();
    uint64_t due = UINT64_MAX;
    if (state_ == State::kReading && !parse_paused_) due = reading_due_ms();
    if (state_ == State::kStreaming) due = last_event_ms_ + limits.ping_interval_ms;
    if (state_ == State::kLingering) due = linger_began_ms_ + limits.linger_timeout_ms;
    if (unwritten_bytes() > 0) due = std::min(due, write_progress_ms_ + limits.write_timeout_ms);
    server_.want_due(*this, due);
}

void Connection::on_due(uint64_t now_ms) {
    const Limits& limits = server_.limits();
    server_.want_pump(*this);  // for the next deadline
    if (unwritten_bytes() > 0 && now_ms >= write_progress_ms_ + limits.write_timeout_ms) {
        return lose();
    }
    if (state_ == State::kReading && !parse_paused_ && now_ms >= reading_due_ms()) {
        return on_reading_due();
    }
    if (state_ == State::kLingering && now_ms >= linger_began_ms_ + limits.linger_timeout_ms) {
        return close_now();
    }
    // A slow reader has enough to read; the ping is for proxies that close silent connections.
    if (state_ == State::kStreaming && unsent_bytes() == 0 &&
        now_ms >= last_event_ms_ + limits.ping_interval_ms) {
        send(kPing);
    }
}

void Connection::on_reading_due() {
    if (parser_.state() == RequestParser::State::kBody) return refuse(refusals::kBodyTimeout, true);
    if (head_begun_) return refuse(refusals::kHeadTimeout, true);
    // Nothing was asked, so nothing is answered. A request that has just come is served first.
    if (!has_unread_bytes()) lose();
}

void Connection::shed_if_idle(uint64_t now_ms) {
    if (!is_idle() || now_ms < idle_since_ms_ + server_.limits().crowded_idle_ms) return;
    if (has_unread_bytes()) return;
    ++server_.counters().connections_shed;
    lose();
}

bool Connection::may_leave() const {
    return is_idle() && in_.empty() && !end_of_input_ && !peer_half_closed_ && !has_unread_bytes();
}

Fd Connection::leave() {
    Fd socket = std::move(socket_);
    close_now();
    return socket;
}

bool Connection::has_unread_bytes() const {
    char byte = 0;
    return recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void Connection::lose() {
    if (state_ == State::kClosed) return;
    const bool outstanding = is_outstanding();
    const auto gone = std::move(on_gone);
    close_now();
    if (!outstanding) return;
    ++server_.counters().clients_gone_total;
    if (gone) gone();
}

void Connection::close_now() {
    state_ = State::kClosed;
    charge_body(0 - charged_body_bytes_);
    server_.forget(*this);
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) noexcept {
        Connection* self = static_cast<Connection*>(handle->data);
        Server& server = self->server_;
        delete self;
        server.on_handle_closed();
    });
    socket_.reset();  // libuv has left it: uv_close() removes it from epoll at once
}

}  // namespace bitnetd::frontend::http
