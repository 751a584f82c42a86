// Compares a kernel table with the reference, bit for bit, on shapes and values drawn from a seed.
// Used before a table is chosen at start (a few fixed seeds) and by the property tests (thousands).
#pragma once

#include <cstdint>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels {

// The name of the first entry whose result differs from the reference's, or null when all agree.
// Runs every entry once on odd shapes (tails, strides, several pages), some with extreme values,
// and looks also at the bytes around each output. Allocates; takes about a millisecond.
const char* first_difference(const KernelTable& table, uint64_t seed);

// What start-up runs: first_difference() over a few fixed seeds, and shapes that it does not draw.
const char* self_check(const KernelTable& table);

}  // namespace bitnetd::kernels
