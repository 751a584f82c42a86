// DeviceMonitor: shows a GPU's figures on the worker's board once a second, from a thread of its
// own: the driver may take milliseconds for an answer, and a worker without work takes no steps. It
// sets gauges that nobody else sets. Made before the process is confined.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "shm/board/board.h"
#include "worker/gpu/nvml.h"

namespace bitnetd::worker {

void show(const GpuFigures& figures, shm::BoardWriter& board) noexcept;

class DeviceMonitor {
  public:
    // The board outlives it.
    DeviceMonitor(Nvml nvml, shm::BoardWriter& board);
    ~DeviceMonitor();

  private:
    void run();

    Nvml nvml_;
    shm::BoardWriter& board_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool ends_ = false;
    std::thread thread_;
};

}  // namespace bitnetd::worker
