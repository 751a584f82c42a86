#include "worker/gpu/device_monitor.h"

#include <chrono>
#include <utility>

namespace bitnetd::worker {

void show(const GpuFigures& figures, shm::BoardWriter& board) noexcept {
    const auto set = [&](Gauge gauge, const std::optional<uint64_t>& value) {
        if (value) board.set_gauge(gauge, *value);
    };
    set(Gauge::kGpuMemoryUsedBytes, figures.memory_used_bytes);
    set(Gauge::kGpuMemoryTotalBytes, figures.memory_total_bytes);
    set(Gauge::kGpuTemperature, figures.temperature_celsius);
    set(Gauge::kGpuPower, figures.power_milliwatts);
    set(Gauge::kGpuClock, figures.clock_hertz);
    set(Gauge::kGpuMemoryClock, figures.memory_clock_hertz);
    set(Gauge::kGpuUtilisation, figures.utilisation_percent);
}

DeviceMonitor::DeviceMonitor(Nvml nvml, shm::BoardWriter& board)
    : nvml_(std::move(nvml)), board_(board), thread_([this] { run(); }) {}

DeviceMonitor::~DeviceMonitor() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    ended_.notify_one();
    thread_.join();
}

void DeviceMonitor::run() {
    std::unique_lock lock(mutex_);
    while (!ends_) {
        show(nvml_.read(), board_);
        ended_.wait_for(lock, std::chrono::seconds(1), [this] { return ends_; });
    }
}

}  // namespace bitnetd::worker
