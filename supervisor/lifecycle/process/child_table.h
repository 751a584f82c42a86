// All slots of the fleet, and the questions the supervisor asks of them. Slots are made at start
// and when a model was loaded; they never go away.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "supervisor/lifecycle/process/process.h"

namespace bitnetd::supervisor {

class ChildTable {
  public:
    Slot& add(std::unique_ptr<Slot> slot);

    std::vector<std::unique_ptr<Slot>>& frontends() { return frontends_; }
    std::vector<std::unique_ptr<Slot>>& workers() { return workers_; }
    const std::vector<std::unique_ptr<Slot>>& frontends() const { return frontends_; }
    const std::vector<std::unique_ptr<Slot>>& workers() const { return workers_; }

    // The slot whose process this is, or null.
    Slot* find(uint64_t incarnation);

    void for_each(const std::function<void(Slot&)>& visit);
    // Slots with a process, ready or not.
    void for_each_running(shm::Role role, const std::function<void(Process&)>& visit);

    size_t running(shm::Role role) const;
    bool all_ready(shm::Role role) const;

    // The earliest moment at which some slot wants something: a start, or a phase's deadline.
    uint64_t next_deadline_ns() const;

    // The same message to every frontend that runs, ready or not: messages keep their order.
    template <typename T>
    void tell_frontends(shm::MessageType type, const T& value, std::span<const int> fds = {}) {
        for_each_running(shm::Role::kFrontend,
                         [&](Process& frontend) { frontend.child->send(type, value, fds); });
    }

  private:
    std::vector<std::unique_ptr<Slot>> frontends_;
    std::vector<std::unique_ptr<Slot>> workers_;
};

}  // namespace bitnetd::supervisor
