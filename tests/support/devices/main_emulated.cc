// bitnetd-worker-cuda where there is no GPU: all of it but the CUDA runtime, over a device in host
// memory and the same kernels run by the emulation of tests/support/cuda. It fails on command: the
// file "device-state" beside it, if there is one at its start, says in one word
//   lost     the device is gone: at the start, and in the next step
//   hangs    the next step never ends
//   wrong    one of its kernels computes something else (at the start)
//   bytes N  so much memory does the device have (at the start)
// and anything else that it is well.
#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <string>
#include <string_view>

#include "tests/support/cuda/emulated_table.h"
#include "tests/support/devices/emulated_device.h"
#include "worker/gpu/gpu_worker.h"

namespace bitnetd::worker {
namespace {

using kernels::cuda::CudaKernels;

std::string beside_this_program(const char* name) {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    if (length <= 0) return name;
    const std::string self(path, static_cast<size_t>(length));
    return self.substr(0, self.rfind('/') + 1) + name;
}

// Opened before the process is confined, read as often as it likes.
std::string device_state() {
    static const int kFile = open(beside_this_program("device-state").c_str(), O_RDONLY);
    char text[64];
    const ssize_t length = pread(kFile, text, sizeof text, 0);
    return {text, length > 0 ? static_cast<size_t>(length) : 0};
}

Result<std::unique_ptr<Device>> open_device(uint32_t) {
    const std::string state = device_state();
    if (state == "lost") {
        return Error{ErrorCode::kUnavailable, "emulated open: the device is lost"};
    }
    test::EmulatedDevice::Faults faults;
    faults.is_lost = [] { return device_state() == "lost"; };
    faults.hangs = [] { return device_state() == "hangs"; };
    constexpr std::string_view kBytes = "bytes ";
    if (state.starts_with(kBytes)) faults.memory_bytes = std::stoull(state.substr(kBytes.size()));
    return std::unique_ptr<Device>(std::make_unique<test::EmulatedDevice>(faults));
}

// One value is too large by one.
void gate_wrongly(kernels::cuda::Stream stream, int64_t count, kernels::cuda::Gate gate, float* x,
                  const float* up) noexcept {
    kernels::cuda_emulated::table().gate(stream, count, gate, x, up);
    stream->put([=] { x[count / 2] += 1; });
}

const CudaKernels& kernels_in_use() {
    static const CudaKernels kTable = [] {
        CudaKernels table = kernels::cuda_emulated::table();
        if (device_state() == "wrong") table.gate = gate_wrongly;
        return table;
    }();
    return kTable;
}

std::unique_ptr<Worker> make_worker(shm::ChildLink& link, uint32_t device_index) {
    return make_gpu_worker(link, device_index, {.open = open_device, .kernels = kernels_in_use});
}

}  // namespace
}  // namespace bitnetd::worker

int main(int argc, char** argv) {
    return bitnetd::worker::worker_main(argc, argv, "cuda", bitnetd::worker::make_worker);
}
