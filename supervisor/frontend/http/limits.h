// Limits: every bound of the HTTP layer, with the defaults of the contract. Times are milliseconds;
// they are looked at once per tick, so each may be overrun by tick_ms.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitnetd::frontend::http {

struct Limits {
    size_t start_line_bytes_max = 16 * 1024;  // beyond: 414
    size_t head_bytes_max = 64 * 1024;  // start line and fields, also all trailers; beyond: 431
    uint32_t fields_max = 128;          // of a head, and of the trailers; beyond: 431
    size_t body_bytes_max = 32 * 1024 * 1024;      // beyond: 413
    size_t bodies_bytes_max = 1024 * 1024 * 1024;  // all bodies held at once; beyond: 503
    size_t pipeline_bytes_max = 64 * 1024;         // input kept while an answer is outstanding
    size_t output_bytes_max = 256 * 1024;  // unsent output above which no next request is begun
    size_t linger_bytes_max = 64 * 1024 * 1024;  // input thrown away behind a last answer

    uint32_t connections_max = 10'000;  // beyond: they wait in the kernel's backlog
    uint32_t accepts_per_turn_max = 64;

    uint32_t head_timeout_ms = 10'000;  // from its first byte (or from accept) to the empty line
    uint32_t body_timeout_ms = 30'000;  // without a byte of an expected body
    uint32_t keep_alive_timeout_ms = 75'000;  // between requests
    uint32_t crowded_idle_ms = 1'000;         // the same, while connections_max is reached
    uint32_t drain_idle_ms = 500;             // the same, while draining
    uint32_t write_timeout_ms = 30'000;       // unsent bytes of which the client takes none
    uint32_t linger_timeout_ms = 5'000;       // for the client to close behind a last answer
    uint32_t ping_interval_ms = 15'000;       // silence on a stream before a comment is sent
    uint32_t tick_ms = 200;
};

}  // namespace bitnetd::frontend::http
