#include "supervisor/lifecycle/process/restart_policy.h"

#include <algorithm>

namespace bitnetd::supervisor {

RestartPolicy::RestartPolicy(const RestartLimits& limits, uint64_t seed)
    : limits_(limits), random_state_(seed) {}

RestartPolicy::Decision RestartPolicy::on_death(Blame blame, uint64_t lived_ns, uint64_t now_ns) {
    if (lived_ns >= limits_.breaker_window_ns) {
        failures_in_row_ = 0;
        trying_ = false;
        deaths_ns_.clear();
    }
    if (blame == Blame::kNobody) return {now_ns, false};

    std::erase_if(deaths_ns_, [&](uint64_t at) { return now_ns - at > limits_.breaker_window_ns; });
    deaths_ns_.push_back(now_ns);
    if (trying_ || deaths_ns_.size() >= limits_.breaker_deaths) {
        trying_ = true;
        deaths_ns_.clear();
        return {now_ns + jittered(limits_.breaker_pause_ns), true};
    }
    // 2^20 first pauses are beyond any maximum; the bound keeps the shift defined.
    const uint32_t doublings = std::min(failures_in_row_, 20u);
    ++failures_in_row_;
    const uint64_t pause = std::min(limits_.backoff_ns << doublings, limits_.backoff_max_ns);
    return {now_ns + jittered(pause), false};
}

uint64_t RestartPolicy::jittered(uint64_t pause_ns) {
    // splitmix64: one multiply chain is random enough to spread restarts.
    uint64_t z = (random_state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    const uint64_t half = pause_ns / 2;
    return pause_ns - (half == 0 ? 0 : z % (half + 1));
}

}  // namespace bitnetd::supervisor
