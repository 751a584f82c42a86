#include "supervisor/frontend/gate/promises.h"

#include <algorithm>
#include <iterator>

namespace bitnetd::frontend {

uint64_t Promises::make(const PromptDigest& digest, uint64_t now_ns, uint64_t earliest_ns,
                        uint64_t pace_ns) {
    expire(now_ns);
    // Never so close that a crowd which comes after all would find no room.
    const double share = std::max(kept_share_, 0.1);
    const auto spacing_ns = static_cast<uint64_t>(static_cast<double>(pace_ns) * share);
    const uint64_t at = std::max(earliest_ns, last_ns_ + spacing_ns);
    if (by_time_.size() >= kPromisesMax) return at;
    last_ns_ = at;
    by_digest_.emplace(digest, at);
    by_time_.emplace(at, digest);
    return at;
}

bool Promises::keep(const PromptDigest& digest, uint64_t now_ns) {
    expire(now_ns);
    const auto found = by_digest_.lower_bound(digest);
    if (found == by_digest_.end() || found->first != digest) return false;
    if (found->second > now_ns + kEarlyNs) return false;
    const auto [first, last] = by_time_.equal_range(found->second);
    by_time_.erase(std::find_if(first, last, [&](const auto& it) { return it.second == digest; }));
    by_digest_.erase(found);
    settle(true);
    return true;
}

double Promises::expected(uint64_t now_ns, uint64_t window_ns) {
    constexpr uint64_t kCountedAgainNs = 5 * kNsPerMs;
    if (counted_ns_ != 0 && now_ns < counted_ns_ + kCountedAgainNs) return expected_;
    expire(now_ns);
    const auto first = by_time_.lower_bound(now_ns - std::min(now_ns, window_ns));
    const auto told = std::distance(first, by_time_.upper_bound(now_ns + window_ns));
    counted_ns_ = now_ns;
    expected_ = static_cast<double>(told) * kept_share_;
    return expected_;
}

void Promises::expire(uint64_t now_ns) {
    while (!by_time_.empty() && by_time_.begin()->first + kLateNs < now_ns) {
        const auto [at, digest] = *by_time_.begin();
        by_time_.erase(by_time_.begin());
        const auto [first, last] = by_digest_.equal_range(digest);
        by_digest_.erase(
            std::find_if(first, last, [at = at](const auto& it) { return it.second == at; }));
        settle(false);
    }
}

}  // namespace bitnetd::frontend
