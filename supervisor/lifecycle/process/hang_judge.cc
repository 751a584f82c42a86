#include "supervisor/lifecycle/process/hang_judge.h"

#include <algorithm>

namespace bitnetd::supervisor {

namespace {
// A tick this many times late means that we were stopped, not merely busy.
constexpr uint64_t kLateTicks = 8;
}  // namespace

void HangJudge::on_tick(uint64_t now_ns, uint64_t tick_ns) {
    if (now_ns_ == 0 || now_ns - now_ns_ > kLateTicks * tick_ns) fresh_since_ns_ = now_ns;
    now_ns_ = now_ns;
}

bool HangJudge::hangs(uint64_t since_ns, uint64_t limit_ns) const {
    if (since_ns == 0 || since_ns > now_ns_) return false;
    return now_ns_ - std::max(since_ns, fresh_since_ns_) > limit_ns;
}

}  // namespace bitnetd::supervisor
