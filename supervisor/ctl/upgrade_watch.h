// An upgrade replaces the process that we talk to, and the connection with it. What became of the
// upgrade is asked of the successor.
#pragma once

#include <string>

#include "supervisor/ctl/control_client.h"
#include "supervisor/ctl/rollout_watch.h"

namespace bitnetd::supervisor {

// From when the connection was lost until the upgrade that began at or after `since_unix_ms` has
// ended. The error: no server answered for kSuccessorMs, or none of them knew of such an upgrade.
Result<CommandEnd> watch_upgrade(const std::string& control, uint64_t since_unix_ms,
                                 Interrupts& interrupts, RolloutWatch& watch);

inline constexpr uint64_t kSuccessorMs = 60'000;

// The upgrade among the rollouts of a status; empty when there is none that young.
Json find_upgrade(const Json& status, uint64_t since_unix_ms);

}  // namespace bitnetd::supervisor
