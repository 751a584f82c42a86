// The processors and the memory of the machine, as the kernel counts them in /proc/stat and
// /proc/meminfo. Opened before the process is confined; afterwards reading opens nothing. Loop
// thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::frontend {

// Of all processors together, in ticks since boot.
struct CpuTimes {
    uint64_t busy = 0;
    uint64_t total = 0;
};
// The first line of /proc/stat: "cpu  USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL ...".
std::optional<CpuTimes> parse_cpu_times(std::string_view stat);

struct MachineMemory {
    uint64_t total_bytes = 0;
    uint64_t available_bytes = 0;  // what programs could still get
};
std::optional<MachineMemory> parse_memory(std::string_view meminfo);

class Machine {
  public:
    Machine() = default;  // knows nothing
    static Result<Machine> open();

    // Every heartbeat: takes the processors' times once a second.
    void observe(uint64_t now_ns);

    uint32_t cores() const { return cores_; }  // online; 0: not known
    // Share of the processors' time that was used, over the last second observed: 0 .. 1.
    std::optional<double> utilisation() const { return utilisation_; }
    std::optional<MachineMemory> memory() const;

  private:
    Fd stat_;
    Fd meminfo_;
    uint32_t cores_ = 0;
    uint64_t observed_ns_ = 0;
    std::optional<CpuTimes> last_;
    std::optional<double> utilisation_;
};

}  // namespace bitnetd::frontend
