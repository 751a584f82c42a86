// All slots of the fleet, and the questions the supervisor asks of them. Slots never go away: one
// that nobody needs is vacant, and the next process of its role takes it.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "supervisor/lifecycle/process/process.h"

namespace bitnetd::supervisor {

class ChildTable {
  public:
    Slot& add(std::unique_ptr<Slot> slot);

    const std::vector<std::unique_ptr<Slot>>& slots(shm::Role role) const {
        return role == shm::Role::kFrontend ? frontends_ : workers_;
    }
    // In order of their index: those that serve.
    std::vector<Slot*> serving(shm::Role role) const;
    // Serving workers of a model.
    std::vector<Slot*> serving(uint64_t model_key) const;
    Slot* first_vacant(shm::Role role) const;
    uint32_t next_index(shm::Role role) const { return static_cast<uint32_t>(slots(role).size()); }

    // The slot whose process this is, or null.
    Slot* find(uint64_t incarnation);
    const Slot* find(uint64_t incarnation) const;
    Slot* find_by_name(std::string_view name);

    void for_each(const std::function<void(Slot&)>& visit);
    // Slots with a process, ready or not.
    void for_each_running(shm::Role role, const std::function<void(Process&)>& visit);

    size_t running(shm::Role role) const;
    // Every slot that serves has a process that is ready.
    bool all_ready(shm::Role role) const;
    // Every worker that serves is ready or has failed, and each of these models has a ready one:
    // nobody need wait for a device that does not work.
    bool workers_settled(const std::vector<uint64_t>& model_keys) const;
    // Some process computes this model, whatever its slot is used for.
    bool has_worker_of(uint64_t model_key) const;

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
