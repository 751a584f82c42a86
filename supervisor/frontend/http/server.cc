#include "supervisor/frontend/http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "common/base/check.h"
#include "common/log/log.h"
#include "supervisor/frontend/http/connection.h"
#include "supervisor/frontend/http/listener.h"
#include "supervisor/frontend/http/peer.h"

namespace bitnetd::frontend::http {
namespace {

constexpr uint64_t kAcceptWarningIntervalMs = 10'000;

Error uv_error(const char* doing, int code) {
    return Error{ErrorCode::kIo, std::string(doing) + ": " + uv_strerror(code)};
}

// What clients are told is a second less than what we do: none begins a request as we close.
std::string render_keep_alive(uint32_t timeout_ms) {
    if (timeout_ms < 2'000) return {};
    return "Keep-Alive: timeout=" + std::to_string(timeout_ms / 1'000 - 1) + "\r\n";
}

// Set on the listening socket: Linux gives them to each accepted one, without a call for each.
void set_tcp_options(int socket, const Limits& limits) {
    const int on = 1;
    const unsigned patience_ms = limits.write_timeout_ms;
    // Events leave as they come. Sent bytes nobody acknowledges end the connection: a client that
    // lost power would otherwise be streamed at until the kernel gives up, a quarter of an hour.
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
}

}  // namespace

Server::Server(uv_loop_t* loop, Handler& handler, const Limits& limits)
    : loop_(loop),
      handler_(handler),
      limits_(limits),
      keep_alive_line_(render_keep_alive(limits.keep_alive_timeout_ms)),
      read_buffer_(std::make_unique<char[]>(kReadBufferBytes)) {
    BITNETD_CHECK(uv_prepare_init(loop, &prepare_) == 0);
    BITNETD_CHECK(uv_timer_init(loop, &timer_) == 0);
    prepare_.data = timer_.data = this;
    open_handles_ = 2;
    uv_prepare_start(&prepare_, on_prepare);
    // Listeners and connections keep the loop running, these two do not.
    uv_unref(reinterpret_cast<uv_handle_t*>(&prepare_));
    uv_unref(reinterpret_cast<uv_handle_t*>(&timer_));
}

Server::~Server() {
    BITNETD_CHECK(stopping_ && open_handles_ == 0);
}

Result<void> Server::listen(Fd socket) {
    BITNETD_CHECK(!draining_ && !stopping_);
    set_tcp_options(socket.get(), limits_);  // no effect on a Unix socket
    auto listener = std::make_unique<Listener>(*this, std::move(socket));
    if (const int error = listener->start(); error != 0) return uv_error("listen", error);
    listeners_.push_back(listener.release());
    ++open_handles_;
    return {};
}

Result<void> Server::adopt(Fd socket) {
    return adopt(std::move(socket), /*was_served=*/false);
}

void Server::inherit(Fd socket) {
    if (stopping_) return;
    const auto adopted = adopt(std::move(socket), /*was_served=*/true);
    if (!adopted.ok()) log::warn("inherited_socket_lost", {{"reason", adopted.error().message}});
}

Result<void> Server::adopt(Fd socket, bool was_served) {
    Peer peer = peer_of(socket.get());
    auto connection = std::make_unique<Connection>(*this, std::move(socket), std::move(peer),
                                                   slots_.size(), was_served);
    if (const int error = connection->start(); error != 0) return uv_error("adopt", error);
    slots_.push_back({connection.get(), UINT64_MAX});
    ++open_handles_;
    ++stats_.connections_open;
    ++stats_.connections_total;
    want_pump(*connection.release());
    start_ticking();
    return {};
}

void Server::drain(Drain why, std::function<void()> on_empty) {
    on_empty_ = std::move(on_empty);
    if (!draining_ || *draining_ < why) {
        draining_ = why;
        drain_began_ms_ = now_ms();
        close_listeners();
        for (const Slot& slot : slots_)
            want_pump(*slot.connection);  // their deadlines may be nearer now
    }
    check_empty();
}

void Server::set_heir(Heir* heir) {
    heir_ = heir;
    offer_idle();
}

void Server::stop(std::function<void()> on_stopped) {
    if (stopping_) return;
    stopping_ = true;
    pump_all();  // answers of this turn leave
    on_empty_ = nullptr;
    on_stopped_ = std::move(on_stopped);
    close_listeners();
    while (!slots_.empty())
        slots_.back().connection->lose();
    const auto closed = [](uv_handle_t* handle) noexcept {
        static_cast<Server*>(handle->data)->on_handle_closed();
    };
    uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), closed);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), closed);
}

void Server::close_listeners() {
    for (Listener* listener : listeners_)
        listener->close();
    listeners_.clear();
}

void Server::check_empty() {
    if (!draining_ || stats_.connections_open > 0 || !on_empty_) return;
    const auto on_empty = std::move(on_empty_);
    on_empty_ = nullptr;
    on_empty();
}

void Server::on_handle_closed() {
    --open_handles_;
    check_empty();
    if (!stopping_ || open_handles_ > 0) return;
    const auto on_stopped = std::move(on_stopped_);
    if (on_stopped) on_stopped();  // may destroy us
}

void Server::want_pump(Connection& connection) {
    if (connection.dirty_at() != Connection::kNotDirty) return;
    connection.set_dirty_at(dirty_.size());
    dirty_.push_back(&connection);
}

void Server::want_due(const Connection& connection, uint64_t due_ms) {
    Slot& slot = slots_[connection.slot()];
    slot.due_ms = std::min(slot.due_ms, due_ms);
}

void Server::forget(Connection& connection) {
    if (connection.dirty_at() != Connection::kNotDirty) dirty_[connection.dirty_at()] = nullptr;
    Slot& slot = slots_[connection.slot()];
    slot = slots_.back();
    slot.connection->set_slot(connection.slot());
    slots_.pop_back();
    --stats_.connections_open;
}

void Server::on_prepare(uv_prepare_t* handle) noexcept {
    static_cast<Server*>(handle->data)->pump_all();
}

// Pumping may make more connections dirty: a handler answers one exchange from another's callback.
void Server::pump_all() {
    for (size_t i = 0; i < dirty_.size(); ++i) {
        Connection* connection = dirty_[i];
        if (connection == nullptr) continue;
        connection->set_dirty_at(Connection::kNotDirty);
        connection->pump();
    }
    dirty_.clear();
    if (std::exchange(has_offer_, false)) offer();
}

// As many batches as the heir takes. Backwards: one that leaves is replaced by the last, which has
// had its turn.
void Server::offer() {
    size_t at = slots_.size();
    while (hands_over()) {
        const size_t room = heir_->room();
        std::vector<Fd> leaving;
        while (at > 0 && leaving.size() < room) {
            Connection& connection = *slots_[--at].connection;
            if (connection.may_leave()) leaving.push_back(connection.leave());
        }
        if (leaving.empty()) return;
        heir_->take(std::move(leaving));
    }
}

void Server::on_tick(uv_timer_t* handle) noexcept {
    static_cast<Server*>(handle->data)->tick();
}

void Server::start_ticking() {
    if (stopping_ || uv_is_active(reinterpret_cast<uv_handle_t*>(&timer_)) != 0) return;
    uv_timer_start(&timer_, on_tick, limits_.tick_ms, limits_.tick_ms);
}

// One pass over a dense array replaces a timer per connection: 10,000 connections are 160 KB.
void Server::tick() {
    const uint64_t now = now_ms();
    const bool crowded = accepting_paused_ && is_full();
    // Backwards: one that closes is replaced by the last, which has had its turn.
    for (size_t i = slots_.size(); i-- > 0;) {
        if (i >= slots_.size()) continue;
        if (crowded) slots_[i].connection->shed_if_idle(now);
        if (i >= slots_.size() || slots_[i].due_ms > now) continue;
        slots_[i].due_ms = UINT64_MAX;
        slots_[i].connection->on_due(now);
    }
    resume_accepting();
    if (slots_.empty() && !accepting_paused_) uv_timer_stop(&timer_);
}

void Server::pause_accepting(const char* why) {
    accepting_paused_ = true;
    for (Listener* listener : listeners_)
        listener->pause();
    start_ticking();
    const uint64_t now = now_ms();
    if (last_accept_warning_ms_ != 0 && now - last_accept_warning_ms_ < kAcceptWarningIntervalMs) {
        return;
    }
    last_accept_warning_ms_ = now;
    log::warn("accept_paused", {{"lacking", why}, {"connections", stats_.connections_open}});
}

void Server::resume_accepting() {
    if (!accepting_paused_ || is_full()) return;
    accepting_paused_ = false;
    for (Listener* listener : listeners_)
        listener->resume();
}

}  // namespace bitnetd::frontend::http
