// What the supervisor knows of the server's health that no board shows, as told to the frontends
// (/health). Pure: the caller gathers the facts.
#pragma once

#include <string>
#include <vector>

#include "shm/abi/control_abi.h"

namespace bitnetd::supervisor {

struct HealthFacts {
    uint32_t workers_expected = 0;
    uint32_t workers_restarting = 0;  // dead, or started again and not yet ready
    uint32_t models_loading = 0;
    std::vector<std::string> models_refused;  // "ID: why"
    std::vector<std::string> breakers_open;   // "worker/1: signal 11 (SIGSEGV)"
    bool draining = false;
};

// The reason names the worst thing first; it is cut at the field's size.
shm::HealthMessage health_message(const HealthFacts& facts);

// Whether the frontends know this already.
bool same_health(const shm::HealthMessage& a, const shm::HealthMessage& b);

}  // namespace bitnetd::supervisor
