// What this process uses of the machine, for its board. Opened before the process is confined;
// afterwards reading opens nothing. One thread.
#pragma once

#include <cstdint>
#include <utility>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::shm {

class ProcessUsage {
  public:
    ProcessUsage() = default;  // of nothing
    static Result<ProcessUsage> open();
    explicit operator bool() const noexcept { return static_cast<bool>(statm_); }

    // In RAM, shared memory that it has touched included. 0: not readable any more.
    uint64_t resident_bytes() const noexcept;
    // Processor time of all its threads, since its start.
    static uint64_t cpu_ns() noexcept;

  private:
    explicit ProcessUsage(Fd statm) : statm_(std::move(statm)) {}
    Fd statm_;
};

}  // namespace bitnetd::shm
