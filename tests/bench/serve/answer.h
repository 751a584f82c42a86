// What came back for one request, as its client saw it. Times are monotonic nanoseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace bitnetd::bench {

struct Usage {
    uint64_t prompt_tokens = 0;
    uint64_t cached_tokens = 0;  // of these, not computed again
    uint64_t output_tokens = 0;
};

struct Answer {
    int status = 0;
    std::optional<uint64_t> retry_after_ms;  // from retry-after-ms, else from Retry-After
    uint64_t first_text_ns = 0;              // 0: no text came, or not as a stream
    uint64_t last_text_ns = 0;
    uint64_t text_events = 0;
    std::optional<Usage> usage;
    std::string error_code;  // of an error body or event: error.code
    std::string failure;     // why this is no answer; empty: it is one
    std::string text;        // as JSON writes it; only when it was asked for

    // Keeps what the strings have allocated.
    void reset() {
        status = 0;
        retry_after_ms.reset();
        first_text_ns = last_text_ns = text_events = 0;
        usage.reset();
        error_code.clear();
        failure.clear();
        text.clear();
    }
};

}  // namespace bitnetd::bench
