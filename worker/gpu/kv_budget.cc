#include "worker/gpu/kv_budget.h"

#include <algorithm>
#include <string>

#include "common/base/bytes.h"

namespace bitnetd::worker {
namespace {

// Of the whole device, less this worker's weights, for each worker and one that a roll starts.
uint64_t share(const DeviceRoom& room, const KvDemand& demand) {
    const uint64_t usable = room.total_bytes - room.total_bytes / 20;
    const uint64_t each = usable / (std::max<uint64_t>(demand.workers, 1) + 1);
    return each - std::min(each, demand.weights_bytes);
}

Error too_little(const DeviceRoom& room, const KvDemand& demand, uint64_t usable) {
    return {ErrorCode::kExhausted,
            "out of GPU memory: a page of " + std::to_string(demand.page_tokens) +
                " tokens of KV cache takes " + std::to_string(demand.page_bytes) + " bytes, and " +
                std::to_string(usable) + " may be used (" + std::to_string(room.free_bytes) +
                " of " + std::to_string(room.total_bytes) + " are free behind weights of " +
                std::to_string(demand.weights_bytes) +
                ", and a roll needs as much again): set kv.bytes to what this worker may take, "
                "lower worker.step_tokens_max, take kv.type int8, or a smaller model"};
}

}  // namespace

Result<uint64_t> kv_pages_on(const DeviceRoom& room, const KvDemand& demand) {
    const uint64_t left = room.free_bytes - std::min(room.free_bytes, room.total_bytes / 20);
    const uint64_t usable =
        std::min(left, demand.kv_bytes != 0 ? demand.kv_bytes : share(room, demand));
    // slots_max * context pages may pass 2^64 of hostile settings: saturate.
    const uint64_t sequence = round_up(demand.context, demand.page_tokens) / demand.page_tokens;
    const uint64_t wanted = checked_mul(sequence, demand.slots_max).value_or(UINT64_MAX);
    const uint64_t pages = std::min(usable / demand.page_bytes, wanted);
    if (pages == 0) return too_little(room, demand, usable);
    return pages;
}

}  // namespace bitnetd::worker
