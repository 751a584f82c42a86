#include "supervisor/frontend/gate/admission.h"

#include <algorithm>

namespace bitnetd::frontend {
namespace {

constexpr uint64_t kRetryMinMs = 100;
constexpr uint64_t kRetryMaxMs = 120'000;
// Before two flights ever left the queue there is no pace to measure.
constexpr uint64_t kRetryUnmeasuredMs = 1'000;

uint64_t bounded_ms(uint64_t ns) {
    return std::clamp<uint64_t>(ns / kNsPerMs, kRetryMinMs, kRetryMaxMs);
}

}  // namespace

void Admission::observe(uint64_t now_ns) {
    for (auto& [model_key, state] : models_) {
        if (dispatcher_.has_ready_worker(model_key)) state = {now_ns, true};
    }
}

void Admission::begin_drain(uint64_t now_ns) {
    if (drain_began_ns_ == 0) drain_began_ns_ = now_ns;
}

bool Admission::is_expected(uint64_t model_key, uint64_t now_ns) const {
    if (dispatcher_.has_ready_worker(model_key)) return true;
    const auto found = models_.find(model_key);
    return found != models_.end() && now_ns < found->second.last_seen_ns + kRestartGraceNs;
}

bool Admission::is_ready(uint64_t model_key, uint64_t now_ns) const {
    if (dispatcher_.has_ready_worker(model_key)) return true;
    const auto found = models_.find(model_key);
    return found != models_.end() && found->second.was_ready && is_expected(model_key, now_ns);
}

Verdict Admission::check(uint64_t model_key, const PromptDigest& digest, uint64_t now_ns) {
    if (is_draining()) {
        const uint64_t end_ns = drain_began_ns_ + drain_timeout_ns_;
        return {Refusal::kDraining, bounded_ms(end_ns > now_ns ? end_ns - now_ns : 0)};
    }
    if (dispatcher_.is_quarantined(digest, now_ns)) return {Refusal::kQuarantined, 0};
    if (!is_expected(model_key, now_ns)) {
        // It will take about as long again as it has taken so far.
        const auto found = models_.find(model_key);
        const uint64_t since_ns = found == models_.end() ? 0 : now_ns - found->second.last_seen_ns;
        return {Refusal::kModelLoading, bounded_ms(since_ns)};
    }
    if (dispatcher_.room() == 0) return queue_full(now_ns);
    return {};
}

Verdict Admission::queue_full(uint64_t now_ns) const {
    const auto drain_ns = dispatcher_.drain_time_ns(now_ns);
    return {Refusal::kQueueFull, drain_ns ? bounded_ms(*drain_ns) : kRetryUnmeasuredMs};
}

}  // namespace bitnetd::frontend
