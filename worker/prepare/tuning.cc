#include "worker/prepare/tuning.h"

#include <cstring>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "worker/model/ternary_choice.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

Result<void> write_tuning(std::span<std::byte> segment, const kernels::KernelTable& table) {
    BITNETD_ASSIGN(const WeightsView weights, open_weights(segment));
    const uint64_t started_ns = monotonic_ns();
    const shm::TernaryTuning tuning = measure_ternary_ways(weights, table);
    std::memcpy(segment.data() + offsetof(shm::WeightsHeader, tuning), &tuning, sizeof tuning);
    log::info("kernels_measured", {{"table", table.name},
                                   {"ternary_ways", TernaryChoice(table, tuning).text()},
                                   {"ms", (monotonic_ns() - started_ns) / kNsPerMs}});
    return {};
}

}  // namespace bitnetd::worker
