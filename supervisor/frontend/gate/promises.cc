#include "supervisor/frontend/gate/promises.h"

#include <algorithm>
#include <utility>

namespace bitnetd::frontend {

uint64_t Promises::make(const PromptDigest& digest, uint64_t now_ns, uint64_t earliest_ns,
                        uint64_t pace_ns) {
    expire(now_ns);
    // Never so close that a crowd which comes after all would find no room.
    const double share = std::max(kept_share_, 0.1);
    const auto spacing_ns = static_cast<uint64_t>(static_cast<double>(pace_ns) * share);
    const uint64_t behind_ns = told_.empty() ? 0 : told_.back().at_ns + spacing_ns;
    const uint64_t at_ns = std::max(earliest_ns, behind_ns);
    if (told_.size() >= kPromisesMax) return at_ns;
    const uint64_t number = first_number_ + told_.size();
    told_.push_back({at_ns, digest, kNone, false});
    const auto [line, is_new] = lines_.try_emplace(digest, Line{number, number});
    if (!is_new) told(std::exchange(line->second.last, number)).next = number;
    ++count_;
    return at_ns;
}

void Promises::leave_line(Lines::iterator line) {
    const uint64_t next = told(line->second.first).next;
    --count_;
    if (next == kNone) {
        lines_.erase(line);
    } else {
        line->second.first = next;
    }
}

bool Promises::keep(const PromptDigest& digest, uint64_t now_ns) {
    expire(now_ns);
    const auto line = lines_.find(digest);
    if (line == lines_.end()) return false;
    Told& promise = told(line->second.first);
    if (promise.at_ns > now_ns + kEarlyNs) return false;
    promise.is_kept = true;
    leave_line(line);
    settle(true);
    return true;
}

double Promises::expected(uint64_t now_ns, uint64_t window_ns) {
    constexpr uint64_t kCountedAgainNs = 5 * kNsPerMs;
    if (counted_ns_ != 0 && now_ns < counted_ns_ + kCountedAgainNs) return expected_;
    expire(now_ns);
    const auto first =
        std::ranges::lower_bound(told_, now_ns - std::min(now_ns, window_ns), {}, &Told::at_ns);
    const auto last = std::ranges::upper_bound(told_, now_ns + window_ns, {}, &Told::at_ns);
    const auto open = std::count_if(first, last, [](const Told& it) { return !it.is_kept; });
    counted_ns_ = now_ns;
    expected_ = static_cast<double>(open) * kept_share_;
    return expected_;
}

void Promises::expire(uint64_t now_ns) {
    while (!told_.empty() && told_.front().at_ns + kLateNs < now_ns) {
        const Told& promise = told_.front();
        if (!promise.is_kept) {
            leave_line(lines_.find(promise.digest));
            settle(false);
        }
        told_.pop_front();
        ++first_number_;
    }
}

}  // namespace bitnetd::frontend
