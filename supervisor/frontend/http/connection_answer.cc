// Answers of a connection: what api/ and http/ itself say -> bytes in the output buffer.
#include <utility>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "supervisor/frontend/http/connection.h"
#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {

void Connection::respond(Response response) {
    BITNETD_CHECK(state_ == State::kAnswering);
    write_whole(response, closes_after_answer());
    state_ = State::kAnswered;
    server_.want_pump(*this);
}

void Connection::begin_stream() {
    BITNETD_CHECK(state_ == State::kAnswering);
    const bool http_1_0 = parser_.head().minor_version == 0;
    // HTTP/1.0 has no chunks: the end of the connection is the end of the stream.
    AnswerHead head = answer_head(200, http_1_0 || closes_after_answer());
    is_chunked_ = !http_1_0;
    head.content_type = "text/event-stream";
    head.is_stream = true;
    head.body = is_chunked_ ? AnswerHead::Body::kChunked : AnswerHead::Body::kUntilClose;
    append_answer_head(out_, head);
    state_ = State::kStreaming;
    last_event_ms_ = server_.now_ms();
    server_.want_pump(*this);
}

void Connection::send(std::string_view event) {
    BITNETD_CHECK(state_ == State::kStreaming);
    last_event_ms_ = server_.now_ms();
    if (request().method == Method::kHead) return;
    events_ += event;
    if (unsent_bytes() > kSlowReaderBytes) was_slow_ = true;
    server_.want_pump(*this);
}

void Connection::end_stream() {
    BITNETD_CHECK(state_ == State::kStreaming);
    frame_events();
    if (is_chunked_ && request().method != Method::kHead) out_ += kLastChunk;
    closes_ = closes_ || closes_after_answer();
    state_ = State::kAnswered;
    server_.want_pump(*this);
}

// One chunk for all that was sent since the last one.
void Connection::frame_events() {
    if (events_.empty()) return;
    if (is_chunked_)
        append_chunk(out_, events_);
    else
        out_ += events_;
    events_.clear();
}

bool Connection::closes_after_answer() const {
    return !parser_.keeps_alive() || server_.closes_connections();
}

// Sets closes_ too: what the head says is what happens.
AnswerHead Connection::answer_head(int status, bool closes) {
    closes_ = closes;
    ++server_.counters().answers_by_status[static_cast<size_t>(status)];
    const Request& request = parser_.request();
    AnswerHead head;
    head.status = status;
    head.request_id = request.request_id;
    if (request.received_ns != 0) {
        head.processing_ms = (monotonic_ns() - request.received_ns) / kNsPerMs;
    }
    head.cross_origin = !request.header("origin").empty();
    head.closes = closes;
    head.http_1_0 = parser_.head().minor_version == 0;
    head.date = server_.date().now();
    head.keep_alive = server_.keep_alive_line();
    return head;
}

void Connection::write_whole(const Response& response, bool closes) {
    BITNETD_CHECK(response.status >= 200 && response.status <= 599);
    AnswerHead head = answer_head(response.status, closes);
    head.content_type = response.content_type;
    head.headers = &response.headers;
    head.content_bytes = response.body.size();
    if (!has_body(response.status)) head.body = AnswerHead::Body::kNone;
    append_answer_head(out_, head);
    if (head.body != AnswerHead::Body::kNone && request().method != Method::kHead) {
        out_ += response.body;
    }
}

// Answers in place of the handler.
void Connection::refuse(const Refusal& why, bool closes) {
    Request& request = parser_.request();
    if (request.request_id.empty()) server_.request_ids().draw(request.request_id);
    Response response;
    response.status = why.status;
    response.body =
        server_.handler().error_body(why.status, why.code, why.message, request.request_id);
    // A body that did not fit may fit when another is done: as soon as one can ask again.
    if (why.status == 503) response.headers = {{"Retry-After", "1"}, {"retry-after-ms", "1000"}};
    if (why.status == 408) response.headers = {{"x-should-retry", "false"}};
    ++server_.counters().refusals_total;
    write_whole(response, closes || closes_after_answer());
    release();
    server_.want_pump(*this);
}

}  // namespace bitnetd::frontend::http
