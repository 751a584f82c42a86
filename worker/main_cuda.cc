// bitnetd-worker-cuda --device cuda:N [--model ID]: computes one model on one GPU. A child of
// bitnetd like bitnetd-worker (main_cpu.cc), with the same messages, rings and answers; worker/gpu/
// is what it does otherwise.
#include "worker/gpu/cudart/cuda_device.h"
#include "worker/gpu/gpu_worker.h"
#include "worker/kernels/cuda/cuda_table.h"

namespace bitnetd::worker {
namespace {

std::unique_ptr<Worker> make_worker(shm::ChildLink& link, uint32_t device_index) {
    return make_gpu_worker(link, device_index,
                           {.open = CudaDevice::open, .kernels = kernels::cuda::cuda_table});
}

}  // namespace
}  // namespace bitnetd::worker

int main(int argc, char** argv) {
    return bitnetd::worker::worker_main(argc, argv, "cuda", bitnetd::worker::make_worker);
}
