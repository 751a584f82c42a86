// Connection: one client. Reads requests, hands one at a time to the Handler, writes answers in
// order.
//
//   reading --complete--> answering --respond()--> answered --pump()--> reading | closing
//                             \--begin_stream()--> streaming --end_stream()--^
//   closing --all sent--> lingering --client closes--> closed       (any state) --lost--> closed
//
// Every event (readable, deadline, a call by api/) only changes buffers and state and asks for one
// pump() before the loop waits again; pump() writes, resumes reading and sets the deadline. So all
// that one loop turn produced leaves in one system call, and the handler is never re-entered.
// Frontend process, loop thread only.
#pragma once

#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "supervisor/frontend/http/exchange.h"
#include "supervisor/frontend/http/request_parser.h"
#include "supervisor/frontend/http/response_writer.h"

namespace bitnetd::frontend::http {

class Server;

class Connection final : public Exchange {
  public:
    static constexpr size_t kNotDirty = SIZE_MAX;

    // `was_served`: by a predecessor.
    Connection(Server& server, Fd socket, Peer peer, size_t slot, bool was_served);

    // ---- For Server ----

    // A libuv error code, 0 on success. After a failure the connection may be deleted at once;
    // after a success it deletes itself when it is closed.
    int start();
    // Once per loop turn in which something happened.
    void pump();
    void on_due(uint64_t now_ms);
    // Closes when nothing is being said, to make room for others.
    void shed_if_idle(uint64_t now_ms);
    // Nothing is being said or has come: another process may go on with it.
    bool may_leave() const;
    // The connection ends here and its socket lives on.
    Fd leave();
    // The client is gone, or must be: on_gone when an answer was outstanding, then nothing more.
    void lose();

    size_t slot() const { return slot_; }
    void set_slot(size_t slot) { slot_ = slot; }
    size_t dirty_at() const { return dirty_at_; }
    void set_dirty_at(size_t at) { dirty_at_ = at; }

    // ---- Exchange, for api/ ----

    const Request& request() const override { return parser_.request(); }
    void respond(Response response) override;
    void begin_stream() override;
    void send(std::string_view event) override;
    void end_stream() override;
    size_t unsent_bytes() const override { return events_.size() + out_.size() - out_sent_; }

  private:
    enum class State : uint8_t {
        kReading,
        kAnswering,
        kStreaming,
        kAnswered,  // the answer is complete; the request is released by the next pump
        kClosing,
        kLingering,
        kClosed,
    };

    // Input: connection.cc.
    static void on_ready(uv_poll_t* handle, int status, int events) noexcept;
    void read_some();
    void take_bytes(std::string_view bytes);
    void discard(size_t bytes);
    void take_end_of_input();
    size_t advance(std::string_view in);
    void advance_kept();
    void take_part_of_body(size_t new_bytes);
    void hand_over();
    void release();

    // Answers: connection_answer.cc.
    void refuse(const Refusal& why, bool closes);
    void write_whole(const Response& response, bool closes);
    AnswerHead answer_head(int status, bool closes);
    bool closes_after_answer() const;
    void frame_events();

    // Output and time: connection_io.cc.
    bool flush();
    void write_out();
    void begin_linger();
    void update_interest();
    void update_due();
    uint64_t reading_due_ms() const;
    void on_reading_due();
    bool is_idle() const;
    bool has_unread_bytes() const;
    void close_now();
    void charge_body(size_t bytes);

    bool is_outstanding() const {
        return state_ == State::kAnswering || state_ == State::kStreaming;
    }
    // Methods that only read: they are answered although the client closed its sending side.
    bool is_safe_method() const;
    size_t unwritten_bytes() const { return out_.size() - out_sent_; }

    Server& server_;
    Fd socket_;
    uv_poll_t poll_{};
    size_t slot_;
    size_t dirty_at_ = kNotDirty;

    State state_ = State::kReading;
    RequestParser parser_;
    std::string in_;      // received, not yet parsed
    std::string out_;     // rendered, to be sent from out_sent_
    std::string events_;  // of a stream, to become one chunk
    size_t out_sent_ = 0;
    size_t charged_body_bytes_ = 0;
    size_t discarded_bytes_ = 0;

    int interest_ = 0;               // events that poll_ waits for
    bool end_of_input_ = false;      // read to its end
    bool peer_half_closed_ = false;  // the kernel says so; unread input may be left
    bool parse_paused_ = false;      // too much unsent output
    bool head_begun_ = false;        // part of a head has come
    bool served_;                    // at least one request
    bool continue_sent_ = false;
    bool closes_ = false;      // behind the current answer
    bool was_slow_ = false;    // on_drained is owed
    bool is_chunked_ = false;  // the current stream's framing

    uint64_t idle_since_ms_ = 0;
    uint64_t head_began_ms_ = 0;
    uint64_t body_progress_ms_ = 0;
    uint64_t write_progress_ms_ = 0;
    uint64_t last_event_ms_ = 0;
    uint64_t linger_began_ms_ = 0;
};

}  // namespace bitnetd::frontend::http
