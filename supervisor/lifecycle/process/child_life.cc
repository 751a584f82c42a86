#include "supervisor/lifecycle/process/child_life.h"

#include <algorithm>

namespace bitnetd::supervisor {

ChildLife::ChildLife(const LifeLimits& limits, uint64_t now_ns)
    : limits_(limits), started_ns_(now_ns), deadline_ns_(now_ns + limits.start_ns) {}

ChildLife::ChildLife(const LifeLimits& limits, uint64_t now_ns, ChildPhase phase,
                     uint64_t started_ns, uint64_t deadline_ns)
    : ChildLife(limits, now_ns) {
    started_ns_ = started_ns;
    if (phase != ChildPhase::kStarting) on_ready();
    if (phase == ChildPhase::kDraining) on_drain(deadline_ns);
    if (phase == ChildPhase::kAborting) condemn("hang");
    if (phase == ChildPhase::kKilling) dismiss();
}

bool ChildLife::on_ready() {
    if (phase_ != ChildPhase::kStarting) return false;
    phase_ = ChildPhase::kReady;
    deadline_ns_ = UINT64_MAX;
    return true;
}

void ChildLife::on_drain(uint64_t deadline_ns) {
    if (phase_ != ChildPhase::kStarting && phase_ != ChildPhase::kReady) return;
    phase_ = ChildPhase::kDraining;
    deadline_ns_ = mute_ ? std::min(deadline_ns_, deadline_ns) : deadline_ns;
}

void ChildLife::on_channel_closed(uint64_t now_ns) {
    mute_ = true;
    if (phase_ == ChildPhase::kKilling) return;  // there is no more to do than to wait
    deadline_ns_ = std::min(deadline_ns_, now_ns + limits_.grace_ns);
}

void ChildLife::condemn_hung(uint64_t now_ns) {
    if (phase_ == ChildPhase::kAborting || phase_ == ChildPhase::kKilling) return;
    phase_ = ChildPhase::kAborting;
    fault_ = "hang";
    pending_signal_ = SIGABRT;
    deadline_ns_ = now_ns + limits_.grace_ns;
}

void ChildLife::condemn(const char* fault) {
    if (fault_ == nullptr) fault_ = fault;
    kill_next();
}

void ChildLife::dismiss() {
    kill_next();
}

int ChildLife::due_signal(uint64_t now_ns) {
    if (now_ns >= deadline_ns_) {
        if (fault_ == nullptr && mute_) fault_ = "closed_control_socket";
        if (fault_ == nullptr && phase_ == ChildPhase::kStarting) fault_ = "start_timeout";
        kill_next();
    }
    const int due = pending_signal_;
    pending_signal_ = 0;
    return due;
}

void ChildLife::kill_next() {
    if (phase_ == ChildPhase::kKilling) return;
    phase_ = ChildPhase::kKilling;
    pending_signal_ = SIGKILL;
    deadline_ns_ = UINT64_MAX;
}

}  // namespace bitnetd::supervisor
