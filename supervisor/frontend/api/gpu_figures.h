// What the driver tells of a GPU (temperature, power, memory...), as one of its workers has it on
// its board. A board is another process's: any value may be anything. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "supervisor/frontend/api/board_set.h"

namespace bitnetd::frontend {

// 0: not known.
struct GpuFigures {
    uint64_t memory_used_bytes = 0;
    uint64_t memory_total_bytes = 0;
    uint64_t temperature_celsius = 0;
    uint64_t power_milliwatts = 0;
    uint64_t clock_hertz = 0;
    uint64_t memory_clock_hertz = 0;
    uint64_t utilisation_percent = 0;
};

// Of all GPUs that have workers, by name ("cuda:0"). All workers of a GPU see the same.
std::map<std::string, GpuFigures> gpu_figures(const BoardSet& boards);

// null for what is not known.
nlohmann::ordered_json figures_json(const GpuFigures& gpu);

// Of GET /v1/metrics: {"devices": [...]}, or null without a GPU.
nlohmann::ordered_json gpus_json(const BoardSet& boards);

}  // namespace bitnetd::frontend
