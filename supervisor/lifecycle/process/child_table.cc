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

const Slot* ChildTable::find(uint64_t incarnation) const {
    return const_cast<ChildTable*>(this)->find(incarnation);
}

Slot* ChildTable::find_by_name(std::string_view name) {
    Slot* found = nullptr;
    for_each([&](Slot& slot) {
        if (slot.name == name) found = &slot;
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
    for (const auto& slot : slots(role)) {
        if (slot->process) visit(*slot->process);
    }
}

std::vector<Slot*> ChildTable::serving(shm::Role role) const {
    std::vector<Slot*> found;
    for (const auto& slot : slots(role)) {
        if (slot->serves()) found.push_back(slot.get());
    }
    return found;
}

std::vector<Slot*> ChildTable::serving(uint64_t model_key) const {
    std::vector<Slot*> found = serving(shm::Role::kWorker);
    std::erase_if(found, [model_key](const Slot* slot) { return slot->model_key != model_key; });
    return found;
}

Slot* ChildTable::first_vacant(shm::Role role) const {
    for (const auto& slot : slots(role)) {
        if (slot->use == SlotUse::kVacant && !slot->process) return slot.get();
    }
    return nullptr;
}

size_t ChildTable::running(shm::Role role) const {
    return static_cast<size_t>(
        std::count_if(slots(role).begin(), slots(role).end(),
                      [](const auto& slot) { return slot->process != nullptr; }));
}

bool ChildTable::all_ready(shm::Role role) const {
    return std::all_of(slots(role).begin(), slots(role).end(), [](const auto& slot) {
        return !slot->serves() || (slot->process != nullptr && slot->process->ready);
    });
}

bool ChildTable::workers_settled(const std::vector<uint64_t>& model_keys) const {
    const auto is_ready = [](const Slot& slot) { return slot.process && slot.process->ready; };
    const auto is_settled = [&](const auto& slot) {
        return !slot->serves() || is_ready(*slot) || slot->recovering;
    };
    const auto is_served = [&](uint64_t key) {
        return std::any_of(workers_.begin(), workers_.end(), [&](const auto& slot) {
            return slot->serves() && slot->model_key == key && is_ready(*slot);
        });
    };
    return std::all_of(workers_.begin(), workers_.end(), is_settled) &&
           std::all_of(model_keys.begin(), model_keys.end(), is_served);
}

bool ChildTable::has_worker_of(uint64_t model_key) const {
    return std::any_of(workers_.begin(), workers_.end(), [model_key](const auto& slot) {
        return slot->process != nullptr && slot->process->model_key == model_key;
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
