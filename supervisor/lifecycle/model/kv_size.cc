#include "supervisor/lifecycle/model/kv_size.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "common/base/bytes.h"
#include "common/config/kv_type.h"
#include "shm/segment/segment.h"

namespace bitnetd::supervisor {
namespace {

// A tenth is left for everyone else, and a roll starts a worker on new weights before it ends one.
uint64_t free_share(uint64_t available_bytes, uint64_t weights_bytes, uint64_t worker_count) {
    const uint64_t usable = available_bytes - available_bytes / 10;
    return (usable - std::min(usable, weights_bytes)) / (std::max<uint64_t>(worker_count, 1) + 1);
}

}  // namespace

KvSize kv_size(const Params& params, const shm::ModelFacts& facts, uint64_t available_bytes,
               uint64_t worker_count) {
    const uint64_t context = params.kv_context_max == 0
                                 ? facts.context
                                 : std::min<uint64_t>(params.kv_context_max, facts.context);
    KvSize size{};
    const uint64_t row_bytes = kv_row_bytes(kv_type_of(params.kv_type), facts.head_dim);
    size.token_bytes = uint64_t{2} * facts.layers * facts.kv_heads * row_bytes;
    // layers 512 * kv_heads 65536 * head_dim 512 * 8 bytes is 2^37, times context and slots may
    // pass 2^64: saturate.
    const auto wanted = checked_mul(size.token_bytes, context * params.worker_slots_max);
    size.wanted_bytes = std::min(wanted.value_or(UINT64_MAX), shm::kSegmentBytesMax);
    const uint64_t share = free_share(available_bytes, facts.weights_bytes, worker_count);
    const uint64_t bytes =
        params.kv_bytes != 0 ? params.kv_bytes : std::min(size.wanted_bytes, share);
    size.bytes = std::clamp(round_up(bytes, shm::kHugePageBytes), shm::kHugePageBytes,
                            shm::kSegmentBytesMax);
    return size;
}

uint64_t available_memory_bytes() {
    std::ifstream file("/proc/meminfo");
    std::string name;
    std::string unit;
    uint64_t kib = 0;
    while (file >> name >> kib) {
        if (name == "MemAvailable:") return kib * 1024;
        std::getline(file, unit);
    }
    return 0;
}

}  // namespace bitnetd::supervisor
