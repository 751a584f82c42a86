// Renders the head of an answer, and frames chunks. Appends to a buffer; owns nothing.
// Frontend process, loop thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitnetd::frontend::http {

inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
inline constexpr std::string_view kPing = ": ping\n\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

struct AnswerHead {
    enum class Body : uint8_t { kMeasured, kChunked, kUntilClose, kNone };

    int status = 200;
    std::string_view content_type;  // empty: none
    const std::vector<std::pair<std::string, std::string>>* headers = nullptr;
    std::string_view request_id;
    uint64_t processing_ms = 0;
    Body body = Body::kMeasured;
    size_t content_bytes = 0;   // with kMeasured
    bool is_stream = false;     // tells proxies not to hold events back
    bool cross_origin = false;  // the request had an Origin
    bool closes = false;
    bool http_1_0 = false;
    std::string_view date;        // "Date: ...\r\n"
    std::string_view keep_alive;  // "Keep-Alive: timeout=...\r\n", or empty
};

void append_answer_head(std::string& out, const AnswerHead& head);

// One chunk with `data`, which must not be empty (an empty chunk would end the body).
void append_chunk(std::string& out, std::string_view data);

// 204 and 304 have no body, whatever the handler says.
constexpr bool has_body(int status) {
    return status != 204 && status != 304;
}

// The Date header, rendered once a second.
class DateLine {
  public:
    std::string_view now();

  private:
    time_t rendered_ = 0;
    size_t bytes_ = 0;
    std::array<char, 48> line_{};
};

}  // namespace bitnetd::frontend::http
