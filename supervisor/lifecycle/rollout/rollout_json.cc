#include "supervisor/lifecycle/rollout/rollout_json.h"

#include <nlohmann/json.hpp>

#include "shm/control/text_field.h"

namespace bitnetd::supervisor {

std::string_view to_string(shm::RolloutKind kind) {
    switch (kind) {
        case shm::RolloutKind::kLoad:
            return "load";
        case shm::RolloutKind::kSwap:
            return "swap";
        case shm::RolloutKind::kRollback:
            return "rollback";
        case shm::RolloutKind::kRemove:
            return "remove";
        case shm::RolloutKind::kReload:
            return "reload";
        case shm::RolloutKind::kUpgrade:
            return "upgrade";
    }
    return "unknown";
}

std::string_view to_string(shm::RolloutPhase phase) {
    switch (phase) {
        case shm::RolloutPhase::kPrepare:
            return "prepare";
        case shm::RolloutPhase::kVerify:
            return "verify";
        case shm::RolloutPhase::kCanaryCopies:
            return "canary_copies";
        case shm::RolloutPhase::kCanaryShare:
            return "canary_share";
        case shm::RolloutPhase::kRoll:
            return "roll";
        case shm::RolloutPhase::kCommit:
            return "commit";
        case shm::RolloutPhase::kDone:
            return "done";
    }
    return "unknown";
}

std::string_view to_string(shm::RolloutOutcome outcome) {
    switch (outcome) {
        case shm::RolloutOutcome::kRunning:
            return "running";
        case shm::RolloutOutcome::kCompleted:
            return "completed";
        case shm::RolloutOutcome::kFailed:
            return "failed";
        case shm::RolloutOutcome::kRolledBack:
            return "rolled_back";
    }
    return "unknown";
}

nlohmann::json to_json(const shm::RolloutMessage& message) {
    return {{"id", "rollout-" + std::to_string(message.number)},
            {"kind", to_string(message.kind)},
            {"model", shm::field_text(message.model)},
            {"phase", to_string(message.phase)},
            {"status", to_string(message.outcome)},
            {"progress", static_cast<double>(message.progress_permille) / 1000},
            {"reason", shm::field_text(message.reason)},
            {"started_unix_ms", message.started_unix_ms},
            {"ended_unix_ms", message.ended_unix_ms},
            {"prepare_ms", message.prepare_ms},
            {"verify_ms", message.verify_ms},
            {"canary_ms", message.canary_ms},
            {"roll_ms", message.roll_ms},
            {"rollback_ms", message.rollback_ms},
            {"canary_copies", message.canary_copies},
            {"canary_different", message.canary_different},
            {"speed_ratio", message.speed_ratio},
            {"accuracy", message.accuracy}};
}

}  // namespace bitnetd::supervisor
