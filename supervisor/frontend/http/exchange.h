// The border between http/ (bytes <-> messages) and api/ (messages <-> a Generation).
//
// http/ calls Handler::on_request() on the loop thread with one complete request; api/ answers
// through the Exchange, now or later, once: respond(), or begin_stream() + send() ... +
// end_stream(). Pipelined requests are handed over one at a time: the next one after this one's
// answer ended.
//
// Lifetime: http/ owns the Exchange and keeps it until the answer ended or the client went away.
// When the client goes away first (closed, half-closed while generating, write timeout), on_gone is
// called once, on the loop thread, and the Exchange must not be touched afterwards. It is never
// called from within a call that api/ makes, and not after respond()/end_stream().
// Frontend process, loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "supervisor/frontend/http/peer.h"

namespace bitnetd::frontend {

enum class Method : uint8_t { kGet, kHead, kPost, kPut, kDelete, kPatch, kOptions };
std::string_view to_string(Method method);

// Header names are lower case; values are trimmed of blanks. Bounded by the [http] limits.
struct Request {
    Method method = Method::kGet;
    std::string path;   // percent-encoding kept, no query
    std::string query;  // behind '?', may be empty
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::string request_id;    // the caller's x-request-id when sane, else drawn
    Peer peer;                 // of the connection
    uint64_t received_ns = 0;  // monotonic; when the head was complete

    // The first header of that (lower-case) name, or empty.
    std::string_view header(std::string_view name) const;
};

// Content-Type, length, x-request-id, openai-processing-ms, CORS and connection headers are added
// by http/; `headers` holds what is special to this answer (Retry-After, Allow, ...).
struct Response {
    int status = 200;
    std::string_view content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::string body = {};
};

class Exchange {
  public:
    virtual ~Exchange() = default;

    virtual const Request& request() const = 0;

    // The whole answer. For HEAD the body is measured, not sent.
    virtual void respond(Response response) = 0;

    // Starts a text/event-stream answer (chunked); the head leaves with the first send() at the
    // latest at the end of this loop turn.
    virtual void begin_stream() = 0;
    // Appends prepared bytes ("data: {...}\n\n"). Gathered and written once per loop turn.
    virtual void send(std::string_view event) = 0;
    virtual void end_stream() = 0;

    // Bytes accepted by send() and not yet taken by the kernel. Above kSlowReaderBytes the caller
    // keeps tokens as ids until on_drained.
    virtual size_t unsent_bytes() const = 0;

    std::function<void()> on_gone;     // see above
    std::function<void()> on_drained;  // unsent_bytes() fell to zero after exceeding the limit
};

inline constexpr size_t kSlowReaderBytes = 256 * 1024;

class Handler {
  public:
    virtual ~Handler() = default;
    virtual void on_request(Exchange& exchange) = 0;

    // The answer to a request that http/ itself refuses (bad framing, too large, ...): api/ renders
    // its error body so that every error on the wire looks alike. `code` as in the contract.
    virtual std::string error_body(int status, std::string_view code, std::string_view message,
                                   std::string_view request_id) const = 0;
};

}  // namespace bitnetd::frontend
