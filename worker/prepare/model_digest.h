// The digest that names a model's packed weights: XXH3-128 over the bytes of its files and the
// identity of the packing. Fast, not cryptographic: it tells models apart, it does not vouch for
// them.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/result.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// Bump when the same model would be packed into other bytes.
inline constexpr uint32_t kPackingId = 3;

// Reads all of `input`; `progress` is told the bytes of each part as it is done.
Result<void> digest_model(ModelInput& input, uint8_t (&digest)[16],
                          const std::function<void(uint64_t bytes)>& progress);

}  // namespace bitnetd::worker
