#include "supervisor/ctl/rollout_watch.h"

#include <algorithm>

#include "supervisor/ctl/rollout_view.h"

namespace bitnetd::supervisor {

Result<void> RolloutWatch::take(std::string_view text, uint64_t now_ns) {
    BITNETD_ASSIGN(Json rollout, parse_answer(text));
    if (!rollout.is_object()) return invalid("the server: expected a rollout, found other JSON");
    take(std::move(rollout), now_ns);
    return {};
}

void RolloutWatch::take(Json rollout, uint64_t now_ns) {
    constexpr uint64_t kParts = 1000;
    const double share = std::min(number_of(rollout, "progress"), 1.0);
    const std::string phase = rollout_phase(rollout);
    progress_.show({.phase = phase,
                    .done_bytes = static_cast<uint64_t>(share * static_cast<double>(kParts)),
                    .total_bytes = kParts,
                    .are_bytes = false},
                   now_ns);
    const std::string id = text_of(rollout, "id");
    const auto known = std::find_if(rollouts_.begin(), rollouts_.end(),
                                    [&](const Json& other) { return text_of(other, "id") == id; });
    if (known != rollouts_.end()) {
        *known = std::move(rollout);
    } else if (rollouts_.size() < kRolloutsMax) {
        rollouts_.push_back(std::move(rollout));
    }
}

}  // namespace bitnetd::supervisor
