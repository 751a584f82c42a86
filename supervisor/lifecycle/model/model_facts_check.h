// Checks what a loader says about a model it has packed: the loader read an untrusted file, so its
// numbers are data. Pure but for the questions it asks of the two descriptors.
#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "shm/abi/control_abi.h"

namespace bitnetd::supervisor {

// Ranges, texts, and the segments themselves: sealed, and as large as stated.
Result<void> check_model_facts(const shm::ModelFacts& facts, uint64_t file_bytes, int weights,
                               int vocabulary);

}  // namespace bitnetd::supervisor
