#include "worker/gpu/nvml.h"

#include <dlfcn.h>

#include <utility>

namespace bitnetd::worker {
namespace {

// From nvml.h, whose ABI is stable: functions return 0 when they succeeded.
using Init = int (*)();
using DeviceByPciId = int (*)(const char* pci_id, void** device);
struct Memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
};
using MemoryInfo = int (*)(void* device, Memory*);
using Number = int (*)(void* device, unsigned*);
using NumberOf = int (*)(void* device, int which, unsigned*);
struct Utilisation {
    unsigned gpu;
    unsigned memory;
};
using UtilisationRates = int (*)(void* device, Utilisation*);

constexpr int kSuccess = 0;
constexpr int kTemperatureGpu = 0;
constexpr int kClockSm = 1;
constexpr int kClockMemory = 2;
constexpr uint64_t kHertzInMegahertz = 1'000'000;

std::optional<uint64_t> value_of(NumberOf function, void* device, int which, uint64_t unit) {
    unsigned value = 0;
    if (function == nullptr || function(device, which, &value) != kSuccess) return std::nullopt;
    return value * unit;
}

}  // namespace

template <typename Function>
Function Nvml::find(const char* name) const {
    return reinterpret_cast<Function>(dlsym(library_, name));
}

std::optional<Nvml> Nvml::open(const std::string& pci_id, const char* library) {
    Nvml nvml;
    nvml.library_ = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (nvml.library_ == nullptr) return std::nullopt;
    const auto init = nvml.find<Init>("nvmlInit_v2");
    if (init == nullptr || init() != kSuccess) return std::nullopt;
    const auto by_pci_id = nvml.find<DeviceByPciId>("nvmlDeviceGetHandleByPciBusId_v2");
    const bool found = by_pci_id != nullptr && by_pci_id(pci_id.c_str(), &nvml.device_) == kSuccess;
    if (!found) return std::nullopt;
    return nvml;
}

Nvml::Nvml(Nvml&& other) noexcept
    : library_(std::exchange(other.library_, nullptr)),
      device_(std::exchange(other.device_, nullptr)) {}

Nvml::~Nvml() {
    if (library_ == nullptr) return;
    if (const auto shutdown = find<Init>("nvmlShutdown")) shutdown();
    dlclose(library_);
}

GpuFigures Nvml::read() const noexcept {
    GpuFigures figures;
    Memory memory{};
    const auto memory_info = find<MemoryInfo>("nvmlDeviceGetMemoryInfo");
    if (memory_info != nullptr && memory_info(device_, &memory) == kSuccess) {
        figures.memory_used_bytes = memory.used;
        figures.memory_total_bytes = memory.total;
    }
    figures.temperature_celsius =
        value_of(find<NumberOf>("nvmlDeviceGetTemperature"), device_, kTemperatureGpu, 1);
    unsigned milliwatts = 0;
    const auto power = find<Number>("nvmlDeviceGetPowerUsage");
    if (power != nullptr && power(device_, &milliwatts) == kSuccess) {
        figures.power_milliwatts = milliwatts;
    }
    const auto clock = find<NumberOf>("nvmlDeviceGetClockInfo");
    figures.clock_hertz = value_of(clock, device_, kClockSm, kHertzInMegahertz);
    figures.memory_clock_hertz = value_of(clock, device_, kClockMemory, kHertzInMegahertz);
    Utilisation utilisation{};
    const auto rates = find<UtilisationRates>("nvmlDeviceGetUtilizationRates");
    if (rates != nullptr && rates(device_, &utilisation) == kSuccess) {
        figures.utilisation_percent = utilisation.gpu;
    }
    return figures;
}

}  // namespace bitnetd::worker
