// How much of a GPU's memory becomes KV cache: fixed at start, from what is free once the weights
// and the buffers are there. Pure arithmetic.
#pragma once

#include <cstdint>

#include "common/base/result.h"

namespace bitnetd::worker {

struct KvDemand {
    uint64_t page_bytes;
    uint64_t page_tokens;
    uint64_t slots_max;
    uint64_t context;        // tokens of one sequence at most
    uint64_t kv_bytes;       // the setting kv.bytes; 0: by what is free
    uint64_t workers;        // that the settings put on this GPU, one for each model
    uint64_t weights_bytes;  // of this model
};

struct DeviceRoom {
    uint64_t total_bytes;
    uint64_t free_bytes;
};

// Pages: those that all slots need, or kv.bytes, at most what fits. A twentieth of the memory is
// left to the driver and to graphs, and where nothing was set a worker takes no more than its share
// beside the others and one more, which a roll starts before it ends one. kExhausted, with the
// figures and what to change, where not even one page fits.
Result<uint64_t> kv_pages_on(const DeviceRoom& room, const KvDemand& demand);

}  // namespace bitnetd::worker
