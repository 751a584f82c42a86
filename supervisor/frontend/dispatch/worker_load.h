// What a worker's board tells of how fast it is and how full, and what follows for a flight that it
// would get. A model of the step loop: a step costs a fixed part (the weights are read) and a part
// per row; a prompt costs its rows, and everyone who decodes waits for each step. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bitnetd::frontend {

struct WorkerLoad {
    uint64_t decode_ns = 0;    // of a step with one row; 0: not measured yet
    uint64_t row_ns = 0;       // of a further row; 0: not measured yet
    uint32_t page_tokens = 0;  // positions of a KV page; 0: unknown
    uint64_t pages_total = 0;
    uint64_t pages_used = 0;  // by sequences that run
};

// What a worker has to do of our flights, this one included.
struct WorkerWork {
    uint64_t flights = 0;
    uint64_t prompt_tokens = 0;  // not computed yet
    uint64_t own_tokens = 0;     // that this flight will draw
};

// Until the flight's last token, from now on; 0 while the worker is not measured.
constexpr uint64_t finish_ns(const WorkerLoad& load, const WorkerWork& work) noexcept {
    if (load.decode_ns == 0 || load.row_ns == 0) return 0;
    const uint64_t step_ns =
        load.decode_ns + (std::max<uint64_t>(work.flights, 1) - 1) * load.row_ns;
    return work.prompt_tokens * load.row_ns + work.own_tokens * step_ns;
}

}  // namespace bitnetd::frontend
