// The worker on a GPU: CpuWorker's counterpart (main_cpu.cc), with everything but the opening of
// the device, so that tests run it on a device of their own.
//
// Order: take the setup in, open the device, upload the weights, compare the device with the CPU,
// make buffers, KV cache and graphs, confine the process, say READY, serve. What was allocated by
// then is all there will be. A device that is lost, hangs or computes otherwise than the CPU ends
// the process with a code of its own; the supervisor's back-off, its breaker and other workers do
// the rest.
#pragma once

#include <cstdint>
#include <memory>

#include "worker/gpu/device.h"
#include "worker/process/worker_process.h"

namespace bitnetd::worker {

struct GpuProgram {
    Result<std::unique_ptr<Device>> (*open)(uint32_t index);
    const kernels::cuda::CudaKernels& (*kernels)();
};

std::unique_ptr<Worker> make_gpu_worker(shm::ChildLink& link, uint32_t device_index,
                                        const GpuProgram& program);

}  // namespace bitnetd::worker
