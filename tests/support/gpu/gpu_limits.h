// What a GPU could do at most, measured in the run whose figures are compared with it: how fast its
// memory is read, and how fast its matrix units multiply and add 8-bit numbers by the instruction
// that the kernels use (mma.sync; from sm_90 on there is a faster one). Built only with nvcc.
#pragma once

#include "common/base/result.h"

namespace bitnetd::bench {

struct GpuLimits {
    double read_gb_s = 0;    // 1e9 bytes per second, the median of `runs`
    double int8_gmac_s = 0;  // 1e9 multiply-adds per second, likewise
};

// Of the device that is current. Takes 1 GiB of its memory for the time.
Result<GpuLimits> measure_gpu(int runs);

}  // namespace bitnetd::bench
