#include "supervisor/frontend/gate/admission.h"

#include <algorithm>

namespace bitnetd::frontend {
namespace {

constexpr uint64_t kRetryMinMs = 100;
constexpr uint64_t kRetryMaxMs = 3'600'000;
// Before any flight has ended there is no pace: promises are this far apart.
constexpr uint64_t kUnmeasuredPaceNs = kNsPerMs;

uint64_t bounded_ms(uint64_t ns) {
    return std::clamp<uint64_t>((ns + kNsPerMs - 1) / kNsPerMs, kRetryMinMs, kRetryMaxMs);
}

}  // namespace

void Admission::observe(uint64_t now_ns) {
    for (auto& [model_key, state] : models_) {
        if (dispatcher_.has_ready_worker(model_key)) {
            state.last_seen_ns = now_ns;
            state.was_ready = true;
        }
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

uint64_t Admission::wait_max_ns(uint64_t model_key) const {
    constexpr uint64_t kLeastNs = 50 * kNsPerMs;  // a burst of small ones is no overload
    if (limits_.wait_max_ms != 0) return limits_.wait_max_ms * kNsPerMs;
    return std::max(kLeastNs, dispatcher_.service_ns(model_key) / 2);
}

Verdict Admission::check(const Applicant& applicant, uint64_t now_ns) {
    if (is_draining()) {
        const uint64_t end_ns = drain_began_ns_ + limits_.drain_timeout_ms * kNsPerMs;
        return {Refusal::kDraining, bounded_ms(end_ns > now_ns ? end_ns - now_ns : 0)};
    }
    for (const PromptDigest& digest : applicant.digests) {
        if (dispatcher_.is_quarantined(digest, now_ns)) return {Refusal::kQuarantined, 0};
    }
    const auto found = models_.find(applicant.model_key);
    if (!is_expected(applicant.model_key, now_ns)) {
        // It will take about as long again as it has taken so far.
        const uint64_t since_ns = found == models_.end() ? 0 : now_ns - found->second.last_seen_ns;
        return {Refusal::kModelLoading, bounded_ms(since_ns)};
    }
    return check_room(applicant, models_[applicant.model_key], now_ns);
}

// An idle worker takes anyone. Where there is a queue, a newcomer finds room in it beside those who
// were told to come about now; one of these only needs a place at all.
Verdict Admission::check_room(const Applicant& applicant, ModelState& state, uint64_t now_ns) {
    const uint64_t key = applicant.model_key;
    const uint64_t wait_ns = dispatcher_.wait_ns(key, applicant.priority, now_ns);
    const uint64_t pace_ns = dispatcher_.pace_ns(key, now_ns);
    const uint64_t limit_ns = wait_max_ns(key);
    const uint64_t prefill_ns = dispatcher_.prefill_ns(key, applicant.prompt);
    const bool is_in_time = now_ns + wait_ns + prefill_ns < applicant.deadline_ns;
    if (!is_in_time && wait_ns == 0) return {Refusal::kDeadline, bounded_ms(prefill_ns)};
    const bool has_promise = state.promises.keep(applicant.digests.front(), now_ns);
    const double others_ns =
        has_promise || wait_ns == 0
            ? 0
            : state.promises.expected(now_ns, limit_ns) * static_cast<double>(pace_ns);
    const uint64_t wait_most_ns = has_promise ? 2 * limit_ns : limit_ns;
    const bool has_place = dispatcher_.room() >= applicant.flights;
    const bool waits_too_long = wait_ns + static_cast<uint64_t>(others_ns) > wait_most_ns;
    if (is_in_time && has_place && !waits_too_long) return {};
    const uint64_t come_ns =
        state.promises.make(applicant.digests.front(), now_ns, now_ns + wait_ns,
                            std::max(pace_ns, kUnmeasuredPaceNs) * applicant.flights);
    return {is_in_time ? Refusal::kQueueFull : Refusal::kDeadline, bounded_ms(come_ns - now_ns)};
}

}  // namespace bitnetd::frontend
