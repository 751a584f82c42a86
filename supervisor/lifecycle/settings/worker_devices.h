// Which workers a model gets: one name of a device for each.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/params.h"

namespace bitnetd::supervisor {

// CPU workers share one machine-wide pool of cores, split by core_share.h.
inline constexpr const char* kCpuDevice = "cpu:0";

// server.workers CPU workers, then one for each of server.gpu.
std::vector<std::string> worker_devices(const Params& params);

bool is_gpu(const std::string& device);

// server.gpu: each "cuda:N" with N below 64, none twice.
Result<void> check_gpus(const std::vector<std::string>& gpus);

}  // namespace bitnetd::supervisor
