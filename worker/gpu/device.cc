#include "worker/gpu/device.h"

#include "common/base/clock.h"

namespace bitnetd::worker {

Error out_of_device_memory(std::string_view call, uint64_t wanted_bytes, uint64_t free_bytes) {
    return {ErrorCode::kExhausted, std::string(call) + ": the GPU has no room for " +
                                       std::to_string(wanted_bytes) + " bytes (" +
                                       std::to_string(free_bytes) + " are free)"};
}

Error device_hangs(uint64_t timeout_ns) {
    return {ErrorCode::kUnavailable, "the GPU hangs: what it was given has not ended within " +
                                         std::to_string(timeout_ns / kNsPerMs) + " ms"};
}

}  // namespace bitnetd::worker
