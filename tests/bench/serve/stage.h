// A stage: one load, kept up for a while. And a Job: one request of it on its way through agenda,
// connection and statistics.
#pragma once

#include <cstdint>
#include <string>

#include "tests/bench/serve/request_maker.h"

namespace bitnetd::bench {

struct Stage {
    std::string name;
    uint32_t clients = 0;  // closed loop: so many, each asks again when it has its answer
    double rate_s = 0;     // open loop: requests per second, whatever becomes of them; then clients
                           // is 0
    uint64_t think_ns = 0;     // closed loop: from an answer to the next request
    uint64_t warmup_ns = 0;    // what is due before is not counted
    uint64_t duration_ns = 0;  // after the warm-up; 0: until `requests` are answered
    uint64_t requests = 0;     // so many new ones at most; 0: no limit
    uint64_t seed = 1;         // of the arrivals

    bool is_open() const noexcept { return clients == 0; }
};

struct Job {
    static constexpr uint32_t kAnyClient = UINT32_MAX;

    RequestFacts facts;
    uint64_t due_ns = 0;   // when its user wanted to send it; latencies count from here
    uint64_t sent_ns = 0;  // when it was sent
    uint32_t attempt = 0;  // 0: the first; others obey a Retry-After
    uint32_t client = kAnyClient;
};

}  // namespace bitnetd::bench
