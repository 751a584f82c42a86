#include "worker/gpu/cudart/cuda_device.h"

#include <cstdlib>
#include <ctime>

#include "common/base/clock.h"

namespace bitnetd::worker {
namespace {

// What code is built for at least (BitnetdCuda.cmake): int8 matrix units, and 64 KiB of shared
// memory for a block.
constexpr int kMajorMin = 7;
constexpr int kMinorMin = 5;

// A wait looks again and again at first, for steps are short and waking up takes tens of
// microseconds; then it sleeps in between.
constexpr uint64_t kSpinNs = 20 * kNsPerMs;
constexpr timespec kPause{0, 50'000};

std::string text_of(const char* call, cudaError_t error) {
    return std::string(call) + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) +
           ")";
}

ErrorCode code_of(cudaError_t error) {
    switch (error) {
        case cudaErrorMemoryAllocation:
            return ErrorCode::kExhausted;
        case cudaErrorNoKernelImageForDevice:
        case cudaErrorInvalidDeviceFunction:
        case cudaErrorUnsupportedPtxVersion:
        case cudaErrorInsufficientDriver:
            return ErrorCode::kUnsupported;
        default:  // whatever else: nothing that the device says counts any more
            return ErrorCode::kUnavailable;
    }
}

Result<void> check(const char* call, cudaError_t error) {
    if (error == cudaSuccess) return {};
    cudaGetLastError();  // else the next call would be blamed for it
    return Error{code_of(error), text_of(call, error)};
}

}  // namespace

Result<std::unique_ptr<Device>> CudaDevice::open(uint32_t index) {
    std::unique_ptr<CudaDevice> device(new CudaDevice);
    BITNETD_TRY(device->start(index));
    return std::unique_ptr<Device>(std::move(device));
}

Result<void> CudaDevice::start(uint32_t index) {
    // All code is loaded now: a confined process could not load more, and no step should wait for
    // it. The order of the bus, which is that of nvidia-smi. Who set them knows better.
    setenv("CUDA_MODULE_LOADING", "EAGER", 0);
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", 0);
    int count = 0;
    BITNETD_TRY(check("cudaGetDeviceCount", cudaGetDeviceCount(&count)));
    if (index >= static_cast<uint32_t>(count)) {
        return Error{ErrorCode::kUnavailable,
                     "cuda:" + std::to_string(index) + " is not there: the driver knows " +
                         std::to_string(count) + " GPUs, counted from 0; change server.gpu"};
    }
    const int ordinal = static_cast<int>(index);
    cudaDeviceProp properties{};
    BITNETD_TRY(check("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, ordinal)));
    facts_.name = properties.name;
    facts_.family = "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
    facts_.memory_bytes = properties.totalGlobalMem;
    const bool is_known = properties.major > kMajorMin ||
                          (properties.major == kMajorMin && properties.minor >= kMinorMin);
    if (!is_known) {
        return unsupported(facts_.name + " is " + facts_.family +
                           ", and the oldest GPU this build has code for is sm_75");
    }
    BITNETD_TRY(check("cudaSetDevice", cudaSetDevice(ordinal)));
    char pci_id[32] = {};
    BITNETD_TRY(
        check("cudaDeviceGetPCIBusId", cudaDeviceGetPCIBusId(pci_id, sizeof pci_id, ordinal)));
    facts_.pci_id = pci_id;
    BITNETD_TRY(check("cudaStreamCreateWithFlags",
                      cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)));
    return check("cudaStreamSynchronize", cudaStreamSynchronize(stream_));
}

// The context may be broken: what cannot be given back goes with the process.
CudaDevice::~CudaDevice() {
    give_back({0, 0, 0});
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void CudaDevice::give_back(const Mark& mark) noexcept {
    for (; graphs_.size() > mark.graphs; graphs_.pop_back())
        note("cudaGraphExecDestroy", cudaGraphExecDestroy(graphs_.back()));
    for (; memory_.size() > mark.memory; memory_.pop_back())
        note("cudaFree", cudaFree(memory_.back()));
    for (; host_memory_.size() > mark.host_memory; host_memory_.pop_back())
        note("cudaFreeHost", cudaFreeHost(host_memory_.back()));
}

Result<uint64_t> CudaDevice::free_bytes() {
    size_t free_bytes = 0;
    size_t total_bytes = 0;
    BITNETD_TRY(check("cudaMemGetInfo", cudaMemGetInfo(&free_bytes, &total_bytes)));
    return free_bytes;
}

Result<std::byte*> CudaDevice::allocate(uint64_t bytes) {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        BITNETD_ASSIGN(const uint64_t free_bytes, this->free_bytes());
        return out_of_device_memory("cudaMalloc", bytes, free_bytes);
    }
    BITNETD_TRY(check("cudaMalloc", error));
    memory_.push_back(memory);
    return static_cast<std::byte*>(memory);
}

Result<std::byte*> CudaDevice::allocate_host(uint64_t bytes) {
    void* memory = nullptr;
    BITNETD_TRY(check("cudaMallocHost", cudaMallocHost(&memory, bytes)));
    host_memory_.push_back(memory);
    return static_cast<std::byte*>(memory);
}

void CudaDevice::note(const char* call, cudaError_t error) noexcept {
    if (error == cudaSuccess || broken_) return;
    broken_ = Error{code_of(error), text_of(call, error)};
}

void CudaDevice::upload(const void* from, void* to, uint64_t bytes) noexcept {
    note("cudaMemcpyAsync to the device",
         cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
}

void CudaDevice::download(const void* from, void* to, uint64_t bytes) noexcept {
    note("cudaMemcpyAsync from the device",
         cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_));
}

Result<Device::Graph> CudaDevice::capture(const std::function<void()>& work) {
    BITNETD_TRY(check("cudaStreamBeginCapture",
                      cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal)));
    work();
    const cudaError_t launched = cudaGetLastError();
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_, &graph);
    BITNETD_TRY(check("a launch into a graph", launched));
    BITNETD_TRY(check("cudaStreamEndCapture", ended));
    const auto made = instantiate(graph);
    cudaGraphDestroy(graph);
    BITNETD_TRY(made);
    return static_cast<Graph>(graphs_.size() - 1);
}

Result<void> CudaDevice::instantiate(cudaGraph_t graph) {
    cudaGraphExec_t executable = nullptr;
    BITNETD_TRY(
        check("cudaGraphInstantiate", cudaGraphInstantiateWithFlags(&executable, graph, 0)));
    graphs_.push_back(executable);
    // Its device memory is taken now rather than at the first launch.
    return check("cudaGraphUpload", cudaGraphUpload(executable, stream_));
}

void CudaDevice::launch(Graph graph) noexcept {
    note("cudaGraphLaunch", cudaGraphLaunch(graphs_[graph], stream_));
}

Result<void> CudaDevice::wait(uint64_t timeout_ns) {
    note("a launch", cudaGetLastError());
    const uint64_t begun_ns = monotonic_ns();
    while (!broken_) {
        const cudaError_t state = cudaStreamQuery(stream_);
        if (state == cudaSuccess) return {};
        if (state != cudaErrorNotReady) {
            note("the work of the stream", state);
            break;
        }
        const uint64_t waited_ns = monotonic_ns() - begun_ns;
        if (waited_ns > timeout_ns) {
            broken_ = device_hangs(timeout_ns);
            break;
        }
        if (waited_ns > kSpinNs) nanosleep(&kPause, nullptr);
    }
    return *broken_;
}

}  // namespace bitnetd::worker
