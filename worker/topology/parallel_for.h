// Spreads independent pieces of work over the threads of a pool. For work that allocates, fails or
// throws (preparing a model); a step of the engine uses ThreadPool::run() itself.
#pragma once

#include <cstddef>
#include <functional>

#include "common/base/result.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {

// Calls f(0) .. f(count - 1), each once, on all threads of the pool; without a pool, on the calling
// thread. Numbers are given out in ascending order, and none after one has failed: the error, or
// the exception, is that of the lowest number that fails, whatever the number of threads. What was
// written is visible to the caller on return. By the thread that made the pool.
Result<void> parallel_for(ThreadPool* pool, size_t count,
                          const std::function<Result<void>(size_t index)>& f);

}  // namespace bitnetd::worker
