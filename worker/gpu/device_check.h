// The self-check of a GPU at start: what it computes of this very model, with the weights as they
// were uploaded, is compared with what the CPU computes, bit for bit. One layer of each kind, steps
// of one row, of a few and of many, logits, and a draw at each place where one may be made. What
// every operation of a layer gave is compared by itself, since rounding to int8 hides most errors
// of what is before it. What it takes of the device's memory it gives back. Before READY, main
// thread.
#pragma once

#include <cstdint>

#include "common/base/result.h"
#include "worker/gpu/device.h"
#include "worker/kernels/kernel_api.h"
#include "worker/kv/kv_layout.h"
#include "worker/model/weights_view.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {

struct CheckParts {
    Device& device;
    const kernels::cuda::CudaKernels& kernels;
    const WeightsView& on_device;
    const WeightsView& on_host;  // the same, as the segment has them
    const kernels::KernelTable& table;
    ThreadPool& pool;
    KvType kv_type;
    uint64_t timeout_ns;  // of a step
};

// kInternal, with what differs, where the device is not to be used.
Result<void> check_device(const CheckParts& parts);

}  // namespace bitnetd::worker
