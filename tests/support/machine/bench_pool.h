// The threads of a measurement: as a worker's that has the machine to itself.
#pragma once

#include <memory>

#include "common/base/result.h"
#include "worker/topology/cores.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::bench {

// One pinned thread on each of the first `threads` cores that this process may use; 0: on all. More
// than there are share them, unpinned.
inline Result<std::unique_ptr<worker::ThreadPool>> make_bench_pool(int threads) {
    BITNETD_ASSIGN(std::vector<int> cores, worker::affinity_cores());
    const size_t available = cores.size();
    const size_t wanted = threads == 0 ? available : static_cast<size_t>(threads);
    for (size_t i = available; i < wanted; ++i)
        cores.push_back(cores[i % available]);
    cores.resize(wanted);
    worker::ThreadPool::Options options{.cores = std::move(cores)};
    if (wanted > available) {
        options.pin = false;
        options.spin_us = 0;
    }
    return worker::ThreadPool::create(options);
}

}  // namespace bitnetd::bench
