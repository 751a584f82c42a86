// ChunkedDecoder: takes a chunked body apart, as strictly as HeadScanner takes heads.
//
// llhttp never sees bodies. A size line is hexadecimal digits, extensions in their exact grammar
// and CRLF; the trailers are scanned like a head and then forgotten. What is decoded depends on the
// bytes alone, never on how they were cut into reads. Frontend process, loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "supervisor/frontend/http/head_scanner.h"
#include "supervisor/frontend/http/limits.h"
#include "supervisor/frontend/http/refusal.h"

namespace bitnetd::frontend::http {

class ChunkedDecoder {
  public:
    enum class Outcome : uint8_t { kIncomplete, kComplete, kRefused };

    explicit ChunkedDecoder(const Limits& limits)
        : limits_(limits), trailers_(limits, HeadScanner::Part::kTrailers) {}

    void reset();

    // Takes from the front of `in` what it can and appends data to `body`. Returns the bytes taken;
    // the caller gives the rest again, with more behind it. The rest never exceeds one size line or
    // the trailers, both of which have limits.
    size_t decode(std::string_view in, std::string& body);

    Outcome outcome() const { return outcome_; }
    const Refusal& refusal() const { return *refusal_; }  // after kRefused

  private:
    enum class Step : uint8_t { kSizeLine, kData, kDataEnd, kTrailers };

    // Each takes one step at the front of `in`; 0 when more is needed or at the end.
    size_t take_size_line(std::string_view in, size_t body_bytes);
    size_t take_data(std::string_view in, std::string& body);
    size_t take_data_end(std::string_view in);
    size_t take_trailers(std::string_view in);
    const Refusal* parse_size_line(std::string_view line, size_t body_bytes);
    size_t refuse(const Refusal& why);

    const Limits& limits_;
    HeadScanner trailers_;
    Outcome outcome_ = Outcome::kIncomplete;
    Step step_ = Step::kSizeLine;
    uint64_t data_left_ = 0;      // of the current chunk
    size_t extension_bytes_ = 0;  // of all chunks so far
    const Refusal* refusal_ = nullptr;
};

}  // namespace bitnetd::frontend::http
