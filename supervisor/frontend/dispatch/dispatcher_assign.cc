// Who gets the next flight, and how long others wait for their turn.
#include <algorithm>
#include <tuple>

#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {
namespace {

bool is_preferred(DevicePreference preference, const std::string& device) {
    switch (preference) {
        case DevicePreference::kCpu:
            return device.starts_with("cpu");
        case DevicePreference::kGpu:
            return device.starts_with("cuda");
        case DevicePreference::kAuto:
            return true;
    }
    return true;
}

}  // namespace

bool Dispatcher::is_open(const Worker& worker, uint64_t now_ns) {
    return !worker.is_draining && !worker.is_broken && worker.paused_until_ns <= now_ns &&
           !worker.port->is_behind() && worker.port->is_ready();
}

bool Dispatcher::may_take(const Worker& worker, const Flight& flight, uint64_t now_ns) {
    return worker.facts.model_key == flight.spec.model_key &&
           (!worker.facts.is_canary || flight.spec.may_use_canary) && is_open(worker, now_ns);
}

bool Dispatcher::has_place(uint64_t incarnation, uint64_t now_ns) const {
    const auto found = workers_.find(incarnation);
    if (found == workers_.end()) return false;
    const Worker& worker = found->second;
    return worker.reserved_for == 0 && worker.flights.size() < worker.facts.credits &&
           is_open(worker, now_ns);
}

// How many tokens a flight will probably draw: as many as others did, if it may.
uint64_t Dispatcher::expected_tokens(const Flight& flight) const {
    const uint64_t room = flight.spec.position_limit - flight.next_position();
    const auto pace = paces_.find(flight.spec.model_key);
    const double mean = pace == paces_.end() ? Pace{}.mean_tokens : pace->second.mean_tokens;
    return std::min(room, static_cast<uint64_t>(mean) + 1);
}

// Whether its ids have pages beside those of the flights that the worker has not begun. It may
// take a first one in any case: that one's pages are all there is.
bool Dispatcher::has_pages(const Worker& worker, const WorkerLoad& load,
                           const Flight& flight) const {
    if (load.page_tokens == 0 || worker.flights.empty()) return true;
    const uint64_t tokens = flight.next_position() + load.page_tokens;
    const uint64_t pages = tokens / load.page_tokens + worker.unbegun_tokens / load.page_tokens;
    return load.pages_used + pages <= load.pages_total;
}

// The worker on which the flight is expected to finish first, what it may still have of the prompt
// counted. Before that: a canary that may have it, then the device it began on (whose floats are
// the same), then the preferred one, but any rather than none. Workers that are not measured come
// first, the least loaded of them.
Dispatcher::Worker* Dispatcher::choose(const Flight& flight, uint64_t now_ns) {
    Worker* best = nullptr;
    const auto rank = [this, &flight](const Worker& worker, const WorkerLoad& load) {
        const uint64_t known = std::min<uint64_t>(worker.prefixes.tokens_known(flight.prefix_names),
                                                  flight.next_position() - 1);
        const WorkerWork work = {
            .flights = worker.flights.size() + 1,
            .prompt_tokens = worker.unbegun_tokens + flight.next_position() - known,
            .own_tokens = expected_tokens(flight)};
        const double share =
            static_cast<double>(worker.flights.size()) / static_cast<double>(worker.facts.credits);
        const bool is_elsewhere =
            flight.started && device_class(worker.facts.device) != device_class(flight.device);
        return std::tuple(!worker.facts.is_canary, is_elsewhere,
                          !is_preferred(flight.spec.device, worker.facts.device),
                          finish_ns(load, work), share, worker.facts.slot);
    };
    std::optional<std::tuple<bool, bool, bool, uint64_t, double, uint32_t>> best_rank;
    for (auto& [incarnation, worker] : workers_) {
        if (worker.reserved_for != 0 || worker.flights.size() >= worker.facts.credits) continue;
        if (!may_take(worker, flight, now_ns)) continue;
        const WorkerLoad load = worker.port->load();
        if (!has_pages(worker, load, flight)) continue;
        const auto here = rank(worker, load);
        if (best_rank && *best_rank <= here) continue;
        best = &worker;
        best_rank = here;
    }
    return best;
}

void Dispatcher::assign(uint64_t now_ns) {
    for (const uint64_t model_key : queue_.models()) {
        assign_alone(model_key, now_ns);
        while (Flight* flight = queue_.next(model_key)) {
            Worker* worker = choose(*flight, now_ns);
            if (worker == nullptr) break;
            dispatch(*flight, *worker, now_ns);
        }
    }
    if (copies_ == 0) return;
    for (auto& [incarnation, worker] : workers_)
        assign_copies(worker, now_ns);
}

// Behind all that clients wait for.
void Dispatcher::assign_copies(Worker& worker, uint64_t now_ns) {
    while (!worker.waiting_copies.empty() && has_place(worker.facts.incarnation, now_ns)) {
        Flight& flight = *find(*worker.waiting_copies.begin());
        if (!has_pages(worker, worker.port->load(), flight)) return;
        worker.waiting_copies.erase(flight.id);
        dispatch(flight, worker, now_ns);
    }
}

// A suspect gets a worker that has nothing else of ours: the one with the least to finish is
// reserved, and takes it once it is empty; another one when that one begins to drain.
void Dispatcher::assign_alone(uint64_t model_key, uint64_t now_ns) {
    for (Flight* flight : queue_.alone(model_key)) {
        Worker* reserved = nullptr;
        Worker* emptiest = nullptr;
        for (auto& [incarnation, worker] : workers_) {
            const bool can_come = !worker.is_draining && worker.port->is_ready();
            if (worker.reserved_for == flight->id && !can_come) worker.reserved_for = 0;
            if (worker.reserved_for == flight->id) reserved = &worker;
            if (worker.reserved_for != 0 || worker.facts.credits == 0) continue;
            if (!may_take(worker, *flight, now_ns)) continue;
            if (emptiest == nullptr || worker.flights.size() < emptiest->flights.size()) {
                emptiest = &worker;
            }
        }
        if (reserved == nullptr) reserved = emptiest;
        if (reserved == nullptr) continue;
        reserved->reserved_for = flight->id;
        if (reserved->flights.empty() && may_take(*reserved, *flight, now_ns)) {
            dispatch(*flight, *reserved, now_ns);
        }
    }
}

void Dispatcher::dispatch(Flight& flight, Worker& worker, uint64_t now_ns) {
    queue_.remove(flight);
    flight.attempt += 1;
    flight.worker = worker.facts.incarnation;
    worker.flights.insert(flight.id);
    flight.unbegun_tokens = flight.next_position();
    worker.unbegun_tokens += flight.unbegun_tokens;
    worker.prefixes.add(flight.prefix_names);
    if (flight.attempt == 1 && !flight.is_copy()) {
        DrainMeter& departures = paces_[flight.spec.model_key].departures;
        const bool has_waited = now_ns > flight.admitted_ns;
        has_waited ? departures.departed(now_ns) : departures.was_empty();
        flight.dispatched_ns = now_ns;
    }
    worker.port->submit(flight, now_ns);
}

uint64_t Dispatcher::pace_ns(uint64_t model_key, uint64_t now_ns) const {
    const auto found = paces_.find(model_key);
    if (found == paces_.end()) return 0;
    // As many leave as can be there at once, in the time that they take.
    uint64_t places = 0;
    for (const auto& [incarnation, worker] : workers_) {
        if (serves(worker, model_key)) places += worker.facts.credits;
    }
    const auto service_ns = static_cast<uint64_t>(found->second.mean_service_ns);
    return found->second.departures.pace_ns(places == 0 ? 0 : service_ns / places, now_ns);
}

uint64_t Dispatcher::wait_ns(uint64_t model_key, Priority priority, uint64_t now_ns) const {
    const size_t ahead = queue_.ahead(model_key, priority, now_ns);
    if (ahead == 0) {
        for (const auto& [incarnation, worker] : workers_) {
            if (!serves(worker, model_key) || worker.reserved_for != 0) continue;
            if (worker.flights.size() < worker.facts.credits && is_open(worker, now_ns)) return 0;
        }
    }
    return (ahead + 1) * pace_ns(model_key, now_ns);
}

uint64_t Dispatcher::service_ns(uint64_t model_key) const {
    const auto found = paces_.find(model_key);
    return found == paces_.end() ? 0 : static_cast<uint64_t>(found->second.mean_service_ns);
}

uint64_t Dispatcher::prefill_ns(uint64_t model_key, std::span<const uint32_t> prompt) const {
    const std::vector<uint64_t> names = prefix_names(prompt);
    std::optional<uint64_t> least;
    for (const auto& [incarnation, worker] : workers_) {
        if (!serves(worker, model_key)) continue;
        const uint64_t known = worker.prefixes.tokens_known(names);
        const uint64_t took_ns = (prompt.size() - known) * worker.port->load().row_ns;
        least = std::min(least.value_or(took_ns), took_ns);
    }
    return least.value_or(0);
}

bool Dispatcher::has_ready_worker(uint64_t model_key) const {
    return std::any_of(workers_.begin(), workers_.end(), [model_key](const auto& entry) {
        const Worker& worker = entry.second;
        return serves(worker, model_key) && !worker.is_draining && worker.port->is_ready();
    });
}

std::vector<Dispatcher::WorkerView> Dispatcher::workers() const {
    std::vector<WorkerView> views;
    for (const auto& [incarnation, worker] : workers_) {
        views.push_back(
            {worker.facts, worker.flights.size(), !worker.is_draining && worker.port->is_ready()});
    }
    return views;
}

}  // namespace bitnetd::frontend
