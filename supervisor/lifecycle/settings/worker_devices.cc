#include "supervisor/lifecycle/settings/worker_devices.h"

#include <algorithm>
#include <charconv>

namespace bitnetd::supervisor {
namespace {

constexpr std::string_view kCuda = "cuda:";
constexpr uint32_t kGpusMax = 64;

}  // namespace

std::vector<std::string> worker_devices(const Params& params) {
    std::vector<std::string> devices(params.server_workers, kCpuDevice);
    devices.insert(devices.end(), params.server_gpu.begin(), params.server_gpu.end());
    return devices;
}

bool is_gpu(const std::string& device) {
    return device.starts_with(kCuda);
}

Result<void> check_gpus(const std::vector<std::string>& gpus) {
    for (size_t i = 0; i < gpus.size(); ++i) {
        uint32_t number = kGpusMax;
        const char* begin = gpus[i].data() + std::min(kCuda.size(), gpus[i].size());
        const char* end = gpus[i].data() + gpus[i].size();
        const auto [stop, error] = std::from_chars(begin, end, number);
        if (!is_gpu(gpus[i]) || error != std::errc() || stop != end || number >= kGpusMax) {
            return invalid("server.gpu: expected cuda:0 .. cuda:" + std::to_string(kGpusMax - 1) +
                           ", found \"" + gpus[i] + "\"");
        }
        if (std::find(gpus.begin(), gpus.begin() + static_cast<ptrdiff_t>(i), gpus[i]) !=
            gpus.begin() + static_cast<ptrdiff_t>(i)) {
            return invalid("server.gpu: \"" + gpus[i] + "\" is there twice");
        }
    }
    return {};
}

}  // namespace bitnetd::supervisor
