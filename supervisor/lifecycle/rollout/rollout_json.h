// A rollout as JSON, for operators' tools and for the history on disk.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "shm/abi/rollout_abi.h"

namespace bitnetd::supervisor {

std::string_view to_string(shm::RolloutKind kind);
std::string_view to_string(shm::RolloutPhase phase);
std::string_view to_string(shm::RolloutOutcome outcome);

nlohmann::json to_json(const shm::RolloutMessage& message);

}  // namespace bitnetd::supervisor
