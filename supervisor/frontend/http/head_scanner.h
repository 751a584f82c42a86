// HeadScanner: decides whether the head of a request is safe to act on, before llhttp sees it.
//
// Debian's llhttp 8.1.0 accepts heads about whose end or body length another server could think
// differently (request smuggling). The scanner accepts one reading only: CRLF line ends, no folded
// lines, no control characters, one Host, one length. What it refuses, nobody parses.
// The verdict depends on the bytes alone, never on how they were cut into reads.
// Frontend process, loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "supervisor/frontend/http/exchange.h"
#include "supervisor/frontend/http/limits.h"
#include "supervisor/frontend/http/refusal.h"

namespace bitnetd::frontend::http {

// What an accepted head says about the connection and the body.
struct Head {
    std::optional<Method> method;  // known as soon as the start line is complete
    uint8_t minor_version = 1;     // HTTP/1.minor
    bool chunked = false;
    std::optional<uint64_t> content_length;  // saturated: more than 18 digits are UINT64_MAX
    bool wants_close = false;                // Connection: close
    bool wants_keep_alive = false;           // Connection: keep-alive
    bool expects_continue = false;           // Expect: 100-continue
    bool expects_other = false;              // Expect: anything else
    size_t bytes = 0;                        // the whole head with its empty line
};

class HeadScanner {
  public:
    enum class Part : uint8_t { kHead, kTrailers };  // trailers: fields without a start line
    enum class Outcome : uint8_t { kIncomplete, kComplete, kRefused };

    explicit HeadScanner(const Limits& limits, Part part = Part::kHead)
        : limits_(limits), part_(part) {}

    // `bytes` is all that has come since the head began: each call sees the bytes of the call
    // before and more. After kComplete or kRefused only reset() may follow.
    Outcome scan(std::string_view bytes);
    void reset();

    const Head& head() const { return head_; }
    const Refusal& refusal() const { return *refusal_; }  // after kRefused

  private:
    Outcome refuse(const Refusal& why);
    const Refusal* over_limit(size_t end) const;
    const Refusal* take_line(std::string_view bytes, std::string_view line);
    const Refusal* take_start_line(std::string_view line);
    const Refusal* take_target(std::string_view target);
    const Refusal* take_field(std::string_view bytes, std::string_view line);
    const Refusal* take_framing_field(std::string_view name, std::string_view value);
    const Refusal* take_length(std::string_view digits);
    const Refusal* take_host(std::string_view bytes, std::string_view value);
    void take_connection(std::string_view value);
    const Refusal* judge_whole(std::string_view bytes);

    const Limits& limits_;
    const Part part_;
    Head head_;
    const Refusal* refusal_ = nullptr;

    struct Span {
        size_t begin = 0, bytes = 0;  // in the scanned bytes, which may move between calls
    };
    size_t scanned_ = 0;  // no control character before it but those of complete lines
    size_t line_begin_ = 0;
    uint32_t fields_ = 0;
    bool in_fields_ = false;  // the start line is behind us
    bool absolute_target_ = false;
    bool other_coding_ = false;  // a Transfer-Encoding that is not chunked
    bool has_host_ = false;
    Span host_, authority_;
};

}  // namespace bitnetd::frontend::http
