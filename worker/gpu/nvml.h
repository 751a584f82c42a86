// Nvml: what the driver tells of a GPU, by libnvidia-ml.so, which is opened at run time and may be
// absent. Opened before the process is confined; reading may be refused then by kernels that open
// files for it, which leaves the figure out. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace bitnetd::worker {

struct GpuFigures {
    std::optional<uint64_t> memory_used_bytes;
    std::optional<uint64_t> memory_total_bytes;
    std::optional<uint64_t> temperature_celsius;
    std::optional<uint64_t> power_milliwatts;
    std::optional<uint64_t> clock_hertz;
    std::optional<uint64_t> memory_clock_hertz;
    std::optional<uint64_t> utilisation_percent;  // of the last moments: time in which a kernel ran
};

class Nvml {
  public:
    static constexpr const char* kLibrary = "libnvidia-ml.so.1";

    // Of the GPU at this place of the bus; nothing where the library or the GPU is not there.
    static std::optional<Nvml> open(const std::string& pci_id, const char* library = kLibrary);

    Nvml(Nvml&& other) noexcept;
    Nvml& operator=(Nvml&&) = delete;
    ~Nvml();

    GpuFigures read() const noexcept;

  private:
    Nvml() = default;
    template <typename Function>
    Function find(const char* name) const;

    void* library_ = nullptr;
    void* device_ = nullptr;  // an nvmlDevice_t
};

}  // namespace bitnetd::worker
