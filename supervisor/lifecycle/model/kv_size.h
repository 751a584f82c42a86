// How much KV cache memory a worker gets. Pure arithmetic.
#pragma once

#include <cstdint>

#include "common/config/params.h"
#include "shm/abi/control_abi.h"

namespace bitnetd::supervisor {

struct KvSize {
    uint64_t bytes;         // a multiple of 2 MiB
    uint64_t wanted_bytes;  // what all slots at full context would take; more than `bytes`: capped
    uint64_t token_bytes;   // keys and values of one position, all layers
};

// kv.bytes as it is when set. Otherwise slots_max sequences of full context, at most a worker's
// share (of worker_count, and one more that a roll starts beside them) in nine tenths of
// available_bytes, less once more the model's weights. `facts` were checked by the model store.
KvSize kv_size(const Params& params, const shm::ModelFacts& facts, uint64_t available_bytes,
               uint64_t worker_count);

// MemAvailable of /proc/meminfo; 0 when it cannot be read.
uint64_t available_memory_bytes();

}  // namespace bitnetd::supervisor
