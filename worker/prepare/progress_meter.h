// Turns work done, by any thread, into percent of all work. The sink is called at most once per
// percent, and only by the thread that made the meter: it writes to a socket that others use too.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

namespace bitnetd::worker {

// Called with 0..100 as work proceeds, at most once per percent.
using PercentSink = std::function<void(uint32_t percent)>;

class ProgressMeter {
  public:
    // total: above 0, in any unit of work.
    ProgressMeter(uint64_t total, const PercentSink& sink) : total_(total), sink_(sink) {}

    void add(uint64_t work) {
        const uint64_t done = done_.fetch_add(work, std::memory_order_relaxed) + work;
        if (!sink_ || std::this_thread::get_id() != owner_) return;
        const auto percent = static_cast<uint32_t>(std::min<uint64_t>(100, done * 100 / total_));
        if (percent == shown_) return;
        shown_ = percent;
        sink_(percent);
    }

  private:
    const uint64_t total_;
    const PercentSink& sink_;
    const std::thread::id owner_ = std::this_thread::get_id();
    std::atomic<uint64_t> done_{0};
    uint32_t shown_ = 0;  // by the owner
};

}  // namespace bitnetd::worker
