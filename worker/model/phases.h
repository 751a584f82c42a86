// A phase of the forward pass: work that is split over the threads of the pool, if there is enough
// of it to be worth meeting at a barrier. How it is split never changes a result.
#pragma once

#include <algorithm>
#include <cstdint>

#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {

// Work is counted in multiply-adds of the ternary kernels. Other work is weighed by what it costs
// about as many of: an element that is normed and quantised, a multiply-add in float, one logit
// drawn.
inline constexpr int64_t kNormWork = 32;
inline constexpr int64_t kFloatWork = 2;
inline constexpr int64_t kDrawWork = 32;

// A thread's part of a phase takes at least this much, some ten microseconds: a few times what the
// barrier costs while threads spin.
inline constexpr int64_t kWorkPerThread = 1'000'000;

class Phases {
  public:
    Phases(ThreadPool& pool, int64_t work_per_thread)
        : pool_(pool), work_per_thread_(work_per_thread) {}

    // Calls f(part, parts) for each part, on as many threads; returns when all are done.
    template <typename F>
    void run(int64_t work, F&& f) noexcept {
        const auto parts =
            static_cast<int>(std::clamp<int64_t>(work / work_per_thread_, 1, pool_.threads()));
        if (parts == 1) return f(0, 1);
        pool_.run([&](int thread) {
            if (thread < parts) f(thread, parts);
        });
    }

    int threads() const { return pool_.threads(); }

  private:
    ThreadPool& pool_;
    int64_t work_per_thread_;
};

}  // namespace bitnetd::worker
