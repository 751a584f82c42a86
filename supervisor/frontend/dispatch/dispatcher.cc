// Admission, the sinks' news, ends and deadlines. Workers are in dispatcher_workers.cc.
#include "supervisor/frontend/dispatch/dispatcher.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/log/log.h"

namespace bitnetd::frontend {
namespace {

// How soon poll() is wanted again while a request ring is full.
constexpr uint64_t kPumpIntervalNs = kNsPerMs;
// How soon while flights wait and some worker is not ready: readiness is on its board, it rings
// nobody.
constexpr uint64_t kReadyIntervalNs = 20 * kNsPerMs;

Counter outcome_of(EndReason reason) {
    switch (reason) {
        case EndReason::kStop:
        case EndReason::kLength:
            return Counter::kGenerationsFinished;
        case EndReason::kTimeout:
            return Counter::kGenerationsCancelled;
        default:
            return Counter::kGenerationsFailed;
    }
}

}  // namespace

Dispatcher::Dispatcher(shm::BoardWriter& board, size_t queue_depth_max)
    : board_(board), queue_depth_max_(queue_depth_max) {}

std::optional<uint64_t> Dispatcher::submit(FlightSpec spec, FlightSink& sink, uint64_t now_ns) {
    BITNETD_CHECK(spec.prompt != nullptr && !spec.prompt->empty());
    BITNETD_CHECK(spec.prompt->size() < spec.position_limit);
    if (room() == 0) return std::nullopt;

    auto owned = std::make_unique<Flight>();
    Flight& flight = *owned;
    flight.id = ++last_flight_;
    flight.digest = digest_of(*spec.prompt);
    flight.spec = std::move(spec);
    flight.sink = &sink;
    flight.admitted_ns = now_ns;
    flights_.emplace(flight.id, std::move(owned));
    deadlines_.emplace(flight.spec.deadline_ns, flight.id);
    queue_.add(flight);
    board_.count(Counter::kGenerationsAdmitted);
    board_.count(Counter::kPromptTokens, flight.prompt_count());
    assign(now_ns);
    show_gauges();
    return flight.id;
}

void Dispatcher::cancel(uint64_t flight, uint64_t now_ns) {
    drop(flight, Counter::kGenerationsCancelled, now_ns);
}

void Dispatcher::complete(uint64_t flight, uint64_t now_ns) {
    drop(flight, Counter::kGenerationsFinished, now_ns);
}

void Dispatcher::drop(uint64_t id, Counter outcome, uint64_t now_ns) {
    Flight* flight = find(id);
    if (flight == nullptr) return;
    take_from_worker(*flight, /*tell_worker=*/true);
    const auto dropped = extract(id);
    board_.count(outcome);
    board_.record_ns(Histogram::kEndToEndSeconds, now_ns - dropped->admitted_ns);
    show_gauges();
}

bool Dispatcher::poll(uint64_t now_ns) {
    bool arrived = false;
    for (auto worker = workers_.begin(); worker != workers_.end();) {
        const auto here = worker++;
        arrived |= drain(here->second, now_ns);
        if (here->second.is_broken) retire(here, shm::PeerEnd::kKilled, now_ns);
    }
    end_overdue(now_ns);
    tell_sinks(now_ns);
    assign(now_ns);
    is_pumping_ = false;
    for (auto& [incarnation, worker] : workers_) {
        if (!worker.port->pump()) is_pumping_ = true;
    }
    show_gauges();
    return arrived;
}

void Dispatcher::end_all(EndReason reason, uint64_t now_ns) {
    for (auto& [id, flight] : flights_) {
        if (!flight->has_ended) {
            take_from_worker(*flight, /*tell_worker=*/true);
            mark_ended(*flight, reason);
        }
    }
    tell_sinks(now_ns);
    show_gauges();
}

void Dispatcher::end_overdue(uint64_t now_ns) {
    while (!deadlines_.empty() && deadlines_.begin()->first <= now_ns) {
        Flight* flight = find(deadlines_.begin()->second);
        deadlines_.erase(deadlines_.begin());
        if (flight == nullptr || flight->has_ended) continue;
        take_from_worker(*flight, /*tell_worker=*/true);
        mark_ended(*flight, EndReason::kTimeout);
    }
}

// Waiting flights of a model that nobody will ever run.
void Dispatcher::end_orphans(uint64_t model_key, EndReason reason) {
    for (const auto& [incarnation, worker] : workers_) {
        if (worker.facts.model_key == model_key) return;
    }
    for (Flight* flight : queue_.all(model_key))
        mark_ended(*flight, reason);
}

void Dispatcher::mark_dirty(Flight& flight) {
    if (flight.is_dirty) return;
    flight.is_dirty = true;
    dirty_.push_back(flight.id);
}

// From here on no record counts for it. Its sink hears of the end behind its last tokens.
void Dispatcher::mark_ended(Flight& flight, EndReason reason) {
    queue_.remove(flight);
    flight.has_ended = true;
    flight.end = reason;
    mark_dirty(flight);
}

void Dispatcher::tell_sinks(uint64_t now_ns) {
    // A sink may end flights or submit others, which makes further news: until there is none.
    while (!dirty_.empty()) {
        std::vector<uint64_t> ids;
        ids.swap(dirty_);
        for (const uint64_t id : ids)
            tell(id, now_ns);
    }
}

void Dispatcher::tell(uint64_t id, uint64_t now_ns) {
    Flight* flight = find(id);
    if (flight == nullptr) return;
    flight->is_dirty = false;
    FlightSink& sink = *flight->sink;

    if (const auto start = std::exchange(flight->fresh_start, std::nullopt)) {
        sink.on_started(*start);
        if ((flight = find(id)) == nullptr) return;  // the sink cancelled it
    }
    if (!flight->fresh.empty()) {
        const auto tokens = std::exchange(flight->fresh, {});
        const auto alternatives = std::exchange(flight->fresh_alternatives, {});
        const bool eog = flight->has_ended && flight->end == EndReason::kStop;
        sink.on_tokens({tokens, alternatives, eog});
        if ((flight = find(id)) == nullptr) return;
    }
    if (!flight->has_ended) return;
    const auto ended = extract(id);
    board_.count(outcome_of(ended->end));
    board_.record_ns(Histogram::kEndToEndSeconds, now_ns - ended->admitted_ns);
    sink.on_end(ended->end);
}

std::unique_ptr<Flight> Dispatcher::extract(uint64_t id) {
    auto node = flights_.extract(id);
    BITNETD_CHECK(!node.empty());
    std::unique_ptr<Flight> flight = std::move(node.mapped());
    queue_.remove(*flight);
    deadlines_.erase({flight->spec.deadline_ns, id});
    return flight;
}

Flight* Dispatcher::find(uint64_t flight) {
    const auto found = flights_.find(flight);
    return found == flights_.end() ? nullptr : found->second.get();
}

bool Dispatcher::has_records() noexcept {
    for (auto& [incarnation, worker] : workers_) {
        if (worker.port->has_records()) return true;
    }
    return false;
}

uint64_t Dispatcher::wake_at_ns(uint64_t now_ns) const {
    uint64_t at = deadlines_.empty() ? UINT64_MAX : deadlines_.begin()->first;
    if (is_pumping_) at = std::min(at, now_ns + kPumpIntervalNs);
    if (queue_.size() > 0) {
        for (const auto& [incarnation, worker] : workers_) {
            if (worker.paused_until_ns > now_ns) at = std::min(at, worker.paused_until_ns);
            if (!worker.port->is_ready()) at = std::min(at, now_ns + kReadyIntervalNs);
        }
    }
    return at;
}

void Dispatcher::show_gauges() {
    board_.set_gauge(Gauge::kQueueDepth, queue_.size());
    board_.set_gauge(Gauge::kActiveRequests, flights_.size());
}

}  // namespace bitnetd::frontend
