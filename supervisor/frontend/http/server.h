// Server: accepts connections, turns bytes into Requests for a Handler and answers into bytes.
// HTTP/1.1 and 1.0 over TCP and Unix sockets. Nothing above this folder knows of sockets.
//
// Owns: listening sockets given to it, connections, one periodic timer, one prepare handle.
// Never here: JSON, routes, keys, models. Order of a request: listener -> connection (reads) ->
// request_parser (head_scanner, head_parser, chunked_decoder) -> Handler (exchange.h) -> connection
// (response_writer, one write per loop turn).
//
// Frontend process, loop thread only. Everything is bounded by Limits; Handler callbacks come from
// the loop, never from within a call of this class but stop().
#pragma once

#include <uv.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/frontend/http/exchange.h"
#include "supervisor/frontend/http/heir.h"
#include "supervisor/frontend/http/limits.h"
#include "supervisor/frontend/http/request_id.h"
#include "supervisor/frontend/http/response_writer.h"

namespace bitnetd::frontend::http {

class Connection;
class Listener;

// Counters since start, and gauges of now. The frontend copies them to its board, all but
// bodies_bytes, which is a bound of its own.
struct ServerStats {
    uint64_t connections_open = 0;  // gauge
    uint64_t bodies_bytes = 0;      // gauge: request bodies held
    uint64_t connections_total = 0;
    uint64_t connections_shed = 0;    // idle ones closed to make room
    uint64_t accept_failures = 0;     // out of descriptors or memory
    uint64_t refusals_total = 0;      // answered by http/ itself
    uint64_t clients_gone_total = 0;  // left before their answer ended
    uint64_t received_bytes = 0;
    uint64_t sent_bytes = 0;
    std::array<uint64_t, 600> answers_by_status{};  // index: status
};

// Why a server takes no more connections.
enum class Drain : uint8_t {
    kRolled,  // others go on: no connection is closed earlier than its client was told
    kEnd,     // nobody goes on: idle connections are closed after drain_idle_ms
};

class Server {
  public:
    // `handler` and `loop` must outlive the server.
    Server(uv_loop_t* loop, Handler& handler, const Limits& limits);
    // Only after stop() has called back.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Serves a listening stream socket (TCP v4, v6 or Unix), which may be shared with other
    // processes. TCP_NODELAY and a time limit for dead peers are set on it and so inherited.
    Result<void> listen(Fd socket);

    // Serves one connected socket: accepted, or one end of a socketpair.
    Result<void> adopt(Fd socket);
    // The same for one that a predecessor served and was left idle: its client was told how long it
    // may stay so. One that cannot be served is closed.
    void inherit(Fd socket);

    // Stops accepting; each next answer says `Connection: close`. Calls `on_empty` once when no
    // connection is left (at once when none is there). A second call replaces `on_empty`; a server
    // that was rolled may still be told that it ends.
    void drain(Drain why, std::function<void()> on_empty);
    // Whoever takes idle connections while this one is rolled: then an answer need not be the last
    // of its connection. Null: nobody. It outlives its use here.
    void set_heir(Heir* heir);
    // The heir has room: it is offered what idles before the loop waits again.
    void offer_idle() { has_offer_ = true; }

    // Writes what was answered, as far as sockets take it, and closes everything now; ends a drain
    // without its callback; unfinished exchanges get on_gone from within this call. `on_stopped` is
    // called from the loop when all handles are closed: the server may then be destroyed, even
    // there.
    void stop(std::function<void()> on_stopped);

    const ServerStats& stats() const { return stats_; }

    // ---- For Connection and Listener ----

    uv_loop_t* loop() const { return loop_; }
    Handler& handler() { return handler_; }
    const Limits& limits() const { return limits_; }
    ServerStats& counters() { return stats_; }
    RequestIds& request_ids() { return request_ids_; }
    DateLine& date() { return date_; }
    std::string_view keep_alive_line() const { return keep_alive_line_; }
    uint64_t now_ms() const { return uv_now(loop_); }
    bool ends() const { return draining_ == Drain::kEnd; }
    bool hands_over() const {
        return draining_ == Drain::kRolled && heir_ != nullptr && heir_->is_there();
    }
    // No answer is followed by another one.
    bool closes_connections() const { return draining_ && !hands_over(); }
    uint64_t drain_began_ms() const { return drain_began_ms_; }
    bool is_full() const { return stats_.connections_open >= limits_.connections_max; }

    // A buffer for one read, valid until the next read of any connection.
    char* read_buffer() { return read_buffer_.get(); }
    static constexpr size_t kReadBufferBytes = 64 * 1024;

    // The connection wants its pump() to be called before the loop next waits.
    void want_pump(Connection& connection);
    // The connection wants its on_due() to be called at `due_ms` or soon after. Earlier calls do no
    // harm, so a later time need not be told.
    void want_due(const Connection& connection, uint64_t due_ms);
    // The connection (or listener) has begun to close: it takes no further calls.
    void forget(Connection& connection);
    // Its handle is closed: `released` may be deleted.
    void on_handle_closed();
    // No connection could be accepted: no listener tries again before the next tick.
    void pause_accepting(const char* why);

  private:
    struct Slot {
        Connection* connection;
        uint64_t due_ms;
    };

    static void on_prepare(uv_prepare_t* handle) noexcept;
    static void on_tick(uv_timer_t* handle) noexcept;
    Result<void> adopt(Fd socket, bool was_served);
    void pump_all();
    void offer();
    void tick();
    void start_ticking();
    void resume_accepting();
    void close_listeners();
    void check_empty();

    uv_loop_t* loop_;
    Handler& handler_;
    const Limits limits_;
    ServerStats stats_;
    RequestIds request_ids_;
    DateLine date_;
    std::string keep_alive_line_;
    std::unique_ptr<char[]> read_buffer_;

    uv_prepare_t prepare_{};
    uv_timer_t timer_{};
    std::vector<Listener*> listeners_;  // deleted by their close callbacks, like connections
    std::vector<Slot> slots_;           // one per open connection
    std::vector<Connection*> dirty_;    // to be pumped; null where one was closed meanwhile
    size_t open_handles_ = 0;

    bool accepting_paused_ = false;
    std::optional<Drain> draining_;
    Heir* heir_ = nullptr;
    bool has_offer_ = false;  // some connection may have become idle, or the heir has room
    bool stopping_ = false;
    uint64_t drain_began_ms_ = 0;
    uint64_t last_accept_warning_ms_ = 0;
    std::function<void()> on_empty_;
    std::function<void()> on_stopped_;
};

}  // namespace bitnetd::frontend::http
