// What is measured on the machine that will compute, and kept with the packed weights.
#pragma once

#include <cstddef>
#include <span>

#include "common/base/result.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::worker {

// Measures on the packed weights which way of `table` is fastest for how many rows
// (worker/model/ternary_choice.h), writes that to their header and logs it. Some tens of
// milliseconds, before the segment is sealed.
Result<void> write_tuning(std::span<std::byte> segment, const kernels::KernelTable& table);

}  // namespace bitnetd::worker
