#include "supervisor/lifecycle/process/child_table.h"

#include <algorithm>

namespace bitnetd::supervisor {

Slot& ChildTable::add(std::unique_ptr<Slot> slot) {
    auto& slots = slot->role == shm::Role::kFrontend ? frontends_ : workers_;
    slots.push_back(std::move(slot));
    return *slots.back();
}

Slot* ChildTable::find(uint64_t incarnation) {
    Slot* found = nullptr;
    for_each([&](Slot& slot) {
        if (slot.process && slot.process->incarnation == incarnation) found = &slot;
    });
    return found;
}

void ChildTable::for_each(const std::function<void(Slot&)>& visit) {
    for (auto& slot : frontends_)
        visit(*slot);
    for (auto& slot : workers_)
        visit(*slot);
}

void ChildTable::for_each_running(shm::Role role, const std::function<void(Process&)>& visit) {
    for (auto& slot : role == shm::Role::kFrontend ? frontends_ : workers_) {
        if (slot->process) visit(*slot->process);
    }
}

size_t ChildTable::running(shm::Role role) const {
    const auto& slots = role == shm::Role::kFrontend ? frontends_ : workers_;
    return static_cast<size_t>(std::count_if(
        slots.begin(), slots.end(), [](const auto& slot) { return slot->process != nullptr; }));
}

bool ChildTable::all_ready(shm::Role role) const {
    const auto& slots = role == shm::Role::kFrontend ? frontends_ : workers_;
    return std::all_of(slots.begin(), slots.end(), [](const auto& slot) {
        return slot->process != nullptr && slot->process->ready;
    });
}

uint64_t ChildTable::next_deadline_ns() const {
    uint64_t next = kNever;
    for (const auto* slots : {&frontends_, &workers_}) {
        for (const auto& slot : *slots) {
            const uint64_t at =
                slot->process ? slot->process->child->life().deadline_ns() : slot->start_at_ns;
            next = std::min(next, at);
        }
    }
    return next;
}

}  // namespace bitnetd::supervisor
