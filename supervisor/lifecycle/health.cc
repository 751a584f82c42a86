#include "supervisor/lifecycle/health.h"

#include <cstring>

#include "shm/control/text_field.h"

namespace bitnetd::supervisor {
namespace {

std::string reason_of(const HealthFacts& facts) {
    if (!facts.breakers_open.empty()) {
        return "keeps dying, left alone for a while: " + facts.breakers_open.front();
    }
    if (!facts.models_refused.empty()) return "model refused: " + facts.models_refused.front();
    if (facts.workers_restarting > 0) {
        return std::to_string(facts.workers_restarting) + " of " +
               std::to_string(facts.workers_expected) + " workers restarting";
    }
    if (facts.draining) return "draining";
    return "";
}

}  // namespace

shm::HealthMessage health_message(const HealthFacts& facts) {
    shm::HealthMessage message{};
    message.workers_expected = facts.workers_expected;
    message.workers_restarting = facts.workers_restarting;
    message.draining = facts.draining ? 1 : 0;
    message.models_loading = facts.models_loading;
    shm::set_field(message.reason, reason_of(facts));
    return message;
}

bool same_health(const shm::HealthMessage& a, const shm::HealthMessage& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;  // no padding: every byte is set
}

}  // namespace bitnetd::supervisor
