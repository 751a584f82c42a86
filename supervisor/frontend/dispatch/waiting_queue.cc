#include "supervisor/frontend/dispatch/waiting_queue.h"

#include <iterator>

namespace bitnetd::frontend {

void WaitingQueue::add(Flight& flight) {
    flight.queue_rank = rank_of(flight.spec.priority, flight.admitted_ns);
    insert(flight);
}

void WaitingQueue::put_back(Flight& flight) {
    flight.queue_rank = 0;  // ids count up, so these keep the order of their admission
    insert(flight);
}

void WaitingQueue::insert(Flight& flight) {
    Lines& lines = models_[flight.spec.model_key];
    Line& line = flight.runs_alone() ? lines.alone : lines.normal;
    if (line.emplace(Key{flight.queue_rank, flight.id}, &flight).second) ++size_;
}

void WaitingQueue::remove(Flight& flight) {
    const auto found = models_.find(flight.spec.model_key);
    if (found == models_.end()) return;
    const Key key{flight.queue_rank, flight.id};
    size_ -= found->second.normal.erase(key) + found->second.alone.erase(key);
    if (found->second.normal.empty() && found->second.alone.empty()) models_.erase(found);
}

std::vector<uint64_t> WaitingQueue::models() const {
    std::vector<uint64_t> keys;
    for (const auto& [key, lines] : models_)
        keys.push_back(key);
    return keys;
}

size_t WaitingQueue::ahead(uint64_t model_key, Priority priority, uint64_t now_ns) const {
    const auto found = models_.find(model_key);
    if (found == models_.end()) return 0;
    const Line& line = found->second.normal;
    const auto behind = line.upper_bound(Key{rank_of(priority, now_ns), UINT64_MAX});
    return found->second.alone.size() + static_cast<size_t>(std::distance(line.begin(), behind));
}

Flight* WaitingQueue::next(uint64_t model_key) const {
    const auto found = models_.find(model_key);
    if (found == models_.end() || found->second.normal.empty()) return nullptr;
    return found->second.normal.begin()->second;
}

std::vector<Flight*> WaitingQueue::alone(uint64_t model_key) const {
    std::vector<Flight*> flights;
    const auto found = models_.find(model_key);
    if (found == models_.end()) return flights;
    for (const auto& [key, flight] : found->second.alone)
        flights.push_back(flight);
    return flights;
}

std::vector<Flight*> WaitingQueue::all(uint64_t model_key) const {
    std::vector<Flight*> flights = alone(model_key);
    const auto found = models_.find(model_key);
    if (found == models_.end()) return flights;
    for (const auto& [key, flight] : found->second.normal)
        flights.push_back(flight);
    return flights;
}

}  // namespace bitnetd::frontend
