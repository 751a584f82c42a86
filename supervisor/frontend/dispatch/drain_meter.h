// How fast the queue moves: the times of the last departures from it. The source of Retry-After.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace bitnetd::frontend {

class DrainMeter {
  public:
    void departed(uint64_t now_ns) noexcept {
        times_[count_ % kKept] = now_ns;
        ++count_;
    }

    // Time until `ahead` more have left, at the pace of the last departures; silence since the last
    // one slows the pace. Nothing before the second departure.
    std::optional<uint64_t> time_for_ns(uint64_t ahead, uint64_t now_ns) const noexcept {
        const size_t kept = count_ < kKept ? count_ : kKept;
        if (kept < 2) return std::nullopt;
        const uint64_t oldest = times_[(count_ - kept) % kKept];
        const uint64_t span = now_ns > oldest ? now_ns - oldest : 0;
        return span / (kept - 1) * ahead;
    }

  private:
    static constexpr size_t kKept = 64;
    std::array<uint64_t, kKept> times_{};
    size_t count_ = 0;
};

}  // namespace bitnetd::frontend
