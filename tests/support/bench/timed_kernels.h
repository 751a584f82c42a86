// A kernel table whose entries count the time spent in them, for the share that each part of a step
// takes. The engine is the real one; its calls go through two clock readings more, which small
// ones feel, so that tokens are never counted with this table. One table at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::bench {

// Entries that are null stay null.
kernels::KernelTable timed_kernels(const kernels::KernelTable& table);

struct KernelTime {
    const char* entry;  // of the table
    uint64_t calls;
    uint64_t ns;  // of all threads together
};
void reset_kernel_times();
// Of entries that were called since then, the longest first.
std::vector<KernelTime> kernel_times();

}  // namespace bitnetd::bench
