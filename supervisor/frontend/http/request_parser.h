// RequestParser: bytes -> Requests, one after the other; knows nothing of sockets.
//
// HeadScanner judges the head, llhttp takes it apart, a counter or ChunkedDecoder takes the body.
//
//   parse() ... parse() -> kComplete -> request(), answer it -> next() -> parse() ...
//
// Frontend process, loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "supervisor/frontend/http/chunked_decoder.h"
#include "supervisor/frontend/http/exchange.h"
#include "supervisor/frontend/http/head_scanner.h"
#include "supervisor/frontend/http/limits.h"
#include "supervisor/frontend/http/refusal.h"

namespace bitnetd::frontend::http {

class RequestParser {
  public:
    enum class State : uint8_t { kHead, kBody, kComplete, kRefused };

    explicit RequestParser(const Limits& limits)
        : limits_(limits), scanner_(limits), chunks_(limits) {}

    // Takes from the front of `in` what it can, up to the end of this request, and returns the
    // bytes taken. The caller gives the rest again, with more behind it. Only in kHead and kBody.
    size_t parse(std::string_view in);

    // Forgets the request; buffers of ordinary size are kept for the next one.
    void next();

    State state() const { return state_; }
    const Refusal& refusal() const { return *refusal_; }  // in kRefused

    Request& request() { return request_; }
    const Request& request() const { return request_; }
    const Head& head() const { return scanner_.head(); }  // behind its end
    bool keeps_alive() const;  // as the client wishes; meaningful behind the end of the head

  private:
    size_t parse_head_part(std::string_view in);
    size_t parse_body_part(std::string_view in);
    const Refusal* judge_head() const;
    void refuse(const Refusal& why);

    const Limits& limits_;
    HeadScanner scanner_;
    ChunkedDecoder chunks_;
    Request request_;
    State state_ = State::kHead;
    bool skipped_empty_line_ = false;
    const Refusal* refusal_ = nullptr;
};

}  // namespace bitnetd::frontend::http
