// Writes a weights segment as shm/abi/weights_abi.h lays it out: header, directory, and each
// planned tensor in its packing, read from the model a few rows at a time by all threads. The bytes
// are the same for any number of threads. Loader process. The header's magic is stored last; if we
// die before sealing, nobody was given the segment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/progress_meter.h"
#include "worker/prepare/weights_plan.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {

struct PackInput {
    ModelInput& input;
    const Hyperparameters& model;
    const WeightsPlan& plan;
    std::span<const uint32_t> end_ids;  // at most shm::kEndIdsMax
};

// `segment` is plan.segment_bytes of zeroed memory, aligned to shm::kTensorAlignment. Without a
// pool the calling thread does it alone. Errors name the tensor and the row; what was written until
// then is to be thrown away.
Result<void> pack_weights(const PackInput& input, std::span<std::byte> segment, ThreadPool* pool,
                          const PercentSink& percent);

}  // namespace bitnetd::worker
