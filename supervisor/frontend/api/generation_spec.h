// A prepared generation as dispatch takes it: one flight for each choice. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "supervisor/frontend/api/prepare.h"
#include "supervisor/frontend/dispatch/flight.h"

namespace bitnetd::frontend {

using SharedBias = std::shared_ptr<const std::vector<shm::LogitBias>>;

// Null: the request has none.
SharedBias shared_bias(const GenerationParams& params);

// `seed` is that of the choice.
FlightSpec generation_spec(const Prepared& prepared, const Prompt& prompt, uint64_t seed,
                           SharedBias bias, uint64_t now_ns);

}  // namespace bitnetd::frontend
