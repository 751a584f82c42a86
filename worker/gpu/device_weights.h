// DeviceWeights: the weights of a model in a GPU's memory. Everything that the layers read goes
// from the sealed segment, which open_weights() checked, to one block of device memory: matrices as
// layout.h wants them, norms, biases and rotary tables as they are; a tensor that two parts share
// is there once. Before READY, main thread.
#pragma once

#include <cstdint>
#include <functional>

#include "common/base/result.h"
#include "worker/gpu/device.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {

struct DeviceWeights {
    WeightsView view;  // as the segment's, with pointers of the device; no screen
    uint64_t bytes = 0;
};

// Whether the device's kernels have all that these weights ask for.
Result<void> check_gpu(const WeightsView& weights);

// Called with the bytes that were uploaded so far, and all of them.
using UploadProgress = std::function<void(uint64_t done, uint64_t all)>;

// Takes at most timeout_ns for each piece of some megabytes. kExhausted where they do not fit.
Result<DeviceWeights> upload_weights(Device& device, const WeightsView& weights,
                                     uint64_t timeout_ns, const UploadProgress& progress);

}  // namespace bitnetd::worker
