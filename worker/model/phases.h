// A phase of the forward pass: work that is split over the threads of the pool, if there is enough
// of it to be worth meeting at a barrier. How it is split never changes a result.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "worker/topology/slice.h"
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

// Units `first` .. `last` - 1 of the `units` that a phase is cut into.
struct Share {
    int first;
    int last;
    int units;

    // This share of 0..total-1; the shares of a phase cover it once.
    Range of(int64_t total, int64_t grain) const {
        return {slice(total, units, first, grain).begin, slice(total, units, last - 1, grain).end};
    }
};

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

    // Calls f(thread, share) until every unit was in one. Each thread has most of its units at
    // once, so that it reads on; the last are dealt one by one to who is first, since threads that
    // share a memory are never equally fast.
    template <typename F>
    void deal(int64_t work, F&& f) noexcept {
        const auto parts =
            static_cast<int>(std::clamp<int64_t>(work / work_per_thread_, 1, pool_.threads()));
        if (parts == 1) return f(0, Share{0, 1, 1});
        const int units = parts * kUnitsPerThread;
        next_unit_.store(parts * kOwnUnits, std::memory_order_relaxed);
        pool_.run([&](int thread) {
            if (thread >= parts) return;
            f(thread, Share{thread * kOwnUnits, (thread + 1) * kOwnUnits, units});
            int unit;
            while ((unit = next_unit_.fetch_add(1, std::memory_order_relaxed)) < units)
                f(thread, Share{unit, unit + 1, units});
        });
    }

    int threads() const { return pool_.threads(); }

  private:
    static constexpr int kUnitsPerThread = 16;
    static constexpr int kOwnUnits = 12;

    alignas(64) std::atomic<int> next_unit_{0};
    ThreadPool& pool_;
    int64_t work_per_thread_;
};

}  // namespace bitnetd::worker
