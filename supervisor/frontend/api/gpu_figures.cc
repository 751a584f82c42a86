#include "supervisor/frontend/api/gpu_figures.h"

#include <algorithm>

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;

Json known(uint64_t value) {
    return value == 0 ? Json() : Json(value);
}

}  // namespace

std::map<std::string, GpuFigures> gpu_figures(const BoardSet& boards) {
    std::map<std::string, GpuFigures> gpus;
    boards.for_each([&](const shm::BoardView& board) {
        if (!board.device().starts_with("cuda")) return;
        GpuFigures& gpu = gpus[board.device()];
        // One that is gone does not know any more, one that starts does not yet.
        if (!is_alive(board) || gpu.memory_total_bytes != 0) return;
        gpu = {board.gauge(Gauge::kGpuMemoryUsedBytes), board.gauge(Gauge::kGpuMemoryTotalBytes),
               board.gauge(Gauge::kGpuTemperature),     board.gauge(Gauge::kGpuPower),
               board.gauge(Gauge::kGpuClock),           board.gauge(Gauge::kGpuMemoryClock),
               board.gauge(Gauge::kGpuUtilisation)};
    });
    return gpus;
}

Json figures_json(const GpuFigures& gpu) {
    const bool is_known = gpu.memory_total_bytes != 0;
    const auto scaled = [&](uint64_t value, double by) {
        return is_known ? Json(static_cast<double>(value) / by) : Json();
    };
    return {{"memory_total_bytes", known(gpu.memory_total_bytes)},
            {"memory_used_bytes", is_known ? Json(gpu.memory_used_bytes) : Json()},
            {"memory_available_bytes",
             is_known ? Json(gpu.memory_total_bytes -
                             std::min(gpu.memory_used_bytes, gpu.memory_total_bytes))
                      : Json()},
            {"temperature_celsius", known(gpu.temperature_celsius)},
            {"power_watts", scaled(gpu.power_milliwatts, 1000)},
            {"clock_hertz", known(gpu.clock_hertz)},
            {"memory_clock_hertz", known(gpu.memory_clock_hertz)},
            {"utilisation", scaled(gpu.utilisation_percent, 100)}};
}

Json gpus_json(const BoardSet& boards) {
    Json devices = Json::array();
    for (const auto& [id, gpu] : gpu_figures(boards)) {
        Json device = {{"id", id}};
        device.update(figures_json(gpu));
        devices.push_back(std::move(device));
    }
    return devices.empty() ? Json() : Json{{"devices", std::move(devices)}};
}

}  // namespace bitnetd::frontend
