// Input of a connection: bytes -> requests -> Handler.
#include "supervisor/frontend/http/connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {

Connection::Connection(Server& server, Fd socket, Peer peer, size_t slot, bool was_served)
    : server_(server),
      socket_(std::move(socket)),
      slot_(slot),
      parser_(server.limits()),
      served_(was_served) {
    parser_.request().peer = std::move(peer);
    idle_since_ms_ = server.now_ms();
}

int Connection::start() {
    if (const int error = uv_poll_init(server_.loop(), &poll_, socket_.get()); error != 0) {
        return error;
    }
    poll_.data = this;
    return 0;  // the first pump() starts the polling
}

void Connection::on_ready(uv_poll_t* handle, int status, int events) noexcept {
    Connection& self = *static_cast<Connection*>(handle->data);
    if (status < 0) return self.lose();  // the connection was reset
    if ((events & UV_READABLE) != 0) self.read_some();
    if ((events & UV_DISCONNECT) != 0 && self.state_ != State::kClosed) {
        self.peer_half_closed_ = true;
        if (self.is_outstanding() && !self.is_safe_method()) return self.lose();
    }
    if (self.state_ != State::kClosed) self.server_.want_pump(self);  // also when writable
}

void Connection::read_some() {
    const ssize_t got = recv(socket_.get(), server_.read_buffer(), Server::kReadBufferBytes, 0);
    if (got == 0) return take_end_of_input();
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) lose();
        return;
    }
    server_.counters().received_bytes += static_cast<uint64_t>(got);
    take_bytes({server_.read_buffer(), static_cast<size_t>(got)});
}

void Connection::take_bytes(std::string_view bytes) {
    if (state_ == State::kClosing || state_ == State::kLingering) return discard(bytes.size());
    if (state_ != State::kReading || !in_.empty()) {
        in_.append(bytes);
        if (state_ == State::kReading) advance_kept();
        return;
    }
    // The usual case: whole requests are parsed where they were received.
    const size_t taken = advance(bytes);
    if (taken < bytes.size() && state_ != State::kClosed) in_.append(bytes.substr(taken));
}

// What follows a last answer is ignored, but must be read: closing a socket with unread input makes
// the kernel send a reset, which may destroy the answer before the client has read it.
void Connection::discard(size_t bytes) {
    discarded_bytes_ += bytes;
    if (discarded_bytes_ > server_.limits().linger_bytes_max) lose();
}

void Connection::take_end_of_input() {
    end_of_input_ = peer_half_closed_ = true;
    switch (state_) {
        case State::kAnswering:
        case State::kStreaming:
            if (!is_safe_method()) lose();
            break;
        case State::kLingering:
            close_now();
            break;
        // Half a request will never be whole; pump() closes when the answers before it are sent.
        case State::kReading:
            state_ = State::kClosing;
            break;
        case State::kAnswered:
        case State::kClosing:
        case State::kClosed:
            break;
    }
}

// Parses requests and hands them over as long as they are answered at once. Returns the bytes
// taken.
size_t Connection::advance(std::string_view in) {
    size_t taken = 0;
    parse_paused_ = false;
    while (state_ == State::kReading && taken < in.size()) {
        if (unsent_bytes() > server_.limits().output_bytes_max) {
            parse_paused_ = true;
            break;
        }
        const size_t step_bytes = parser_.parse(in.substr(taken));
        taken += step_bytes;
        const bool bytes_follow = taken < in.size();
        switch (parser_.state()) {
            case RequestParser::State::kHead:
                if (bytes_follow && !head_begun_) {
                    head_begun_ = true;
                    head_began_ms_ = server_.now_ms();
                }
                return taken;
            case RequestParser::State::kBody:
                take_part_of_body(step_bytes);
                return taken;
            case RequestParser::State::kRefused:
                refuse(parser_.refusal(), parser_.refusal().closes || bytes_follow);
                break;
            case RequestParser::State::kComplete:
                hand_over();
                break;
        }
    }
    return taken;
}

void Connection::advance_kept() {
    const size_t taken = advance(in_);
    if (state_ != State::kClosed) in_.erase(0, taken);
}

// The body goes on. `new_bytes` of the request were taken since the last time.
void Connection::take_part_of_body(size_t new_bytes) {
    const size_t body_bytes = parser_.request().body.size();
    const Head& head = parser_.head();
    if (head.expects_continue && head.minor_version > 0 && body_bytes == 0 && !continue_sent_) {
        out_ += kContinue;
        continue_sent_ = true;
    }
    if (new_bytes > 0) body_progress_ms_ = server_.now_ms();
    charge_body(body_bytes - charged_body_bytes_);
    if (server_.stats().bodies_bytes > server_.limits().bodies_bytes_max) {
        refuse(refusals::kMemoryExhausted, true);
    }
}

void Connection::hand_over() {
    if (end_of_input_ && !is_safe_method()) {  // nobody waits for this generation
        state_ = State::kClosing;
        return;
    }
    Request& request = parser_.request();
    if (request.request_id.empty()) server_.request_ids().draw(request.request_id);
    charge_body(request.body.size() - charged_body_bytes_);
    state_ = State::kAnswering;
    served_ = true;
    server_.handler().on_request(*this);
    if (state_ == State::kAnswered) release();
}

// The answer is complete. Not done by the call that completed it: api/ may still look at the
// request, or may be inside one of the callbacks that are dropped here.
void Connection::release() {
    on_gone = nullptr;
    on_drained = nullptr;
    was_slow_ = false;
    charge_body(0 - charged_body_bytes_);
    parser_.next();
    head_begun_ = continue_sent_ = false;
    idle_since_ms_ = server_.now_ms();
    state_ = closes_ ? State::kClosing : State::kReading;
    if (closes_) in_.clear();
}

bool Connection::is_safe_method() const {
    const Method method = parser_.request().method;
    return method == Method::kGet || method == Method::kHead || method == Method::kOptions;
}

// `bytes` may be a negative number in two's complement: the body was released.
void Connection::charge_body(size_t bytes) {
    charged_body_bytes_ += bytes;
    server_.counters().bodies_bytes += bytes;
}

}  // namespace bitnetd::frontend::http
