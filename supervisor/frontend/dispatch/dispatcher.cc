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

// Something is drawn, or else asked of the prompt itself; of an embedding nothing is drawn.
bool is_limit_right(const FlightSpec& spec) {
    const size_t prompt_count = spec.prompt->size();
    if ((spec.flags & shm::kWantEmbedding) != 0) {
        return spec.position_limit == prompt_count && spec.embedding_values > 0;
    }
    const bool is_scored = (spec.flags & shm::kScorePrompt) != 0;
    return spec.position_limit > prompt_count || (is_scored && spec.position_limit == prompt_count);
}

}  // namespace

Dispatcher::Dispatcher(shm::BoardWriter& board, size_t queue_depth_max)
    : board_(board), queue_depth_max_(queue_depth_max) {}

std::optional<uint64_t> Dispatcher::submit(FlightSpec spec, FlightSink& sink, uint64_t now_ns) {
    BITNETD_CHECK(spec.prompt != nullptr && !spec.prompt->empty());
    BITNETD_CHECK(is_limit_right(spec));
    const bool is_copy = spec.only_worker != 0;
    if (is_copy ? !knows_worker(spec.only_worker) : room() == 0) return std::nullopt;

    auto owned = std::make_unique<Flight>();
    Flight& flight = *owned;
    flight.id = ++last_flight_;
    flight.digest = digest_of(*spec.prompt);
    flight.prefix_names = prefix_names(*spec.prompt);
    flight.spec = std::move(spec);
    flight.sink = &sink;
    flight.admitted_ns = now_ns;
    flights_.emplace(flight.id, std::move(owned));
    deadlines_.emplace(flight.spec.deadline_ns, flight.id);
    enlist(flight);
    count(flight, Counter::kGenerationsAdmitted);
    count(flight, Counter::kPromptTokens, flight.prompt_count());
    assign(now_ns);
    show_gauges();
    return flight.id;
}

void Dispatcher::enlist(Flight& flight) {
    if (!flight.is_copy()) return queue_.add(flight);
    workers_.at(flight.spec.only_worker).waiting_copies.insert(flight.id);
    ++copies_;
}

// It waits no more, if it did.
void Dispatcher::unlist(Flight& flight) {
    if (!flight.is_copy()) return queue_.remove(flight);
    const auto worker = workers_.find(flight.spec.only_worker);
    if (worker != workers_.end()) worker->second.waiting_copies.erase(flight.id);
}

// The server's figures are of what clients asked for.
void Dispatcher::count(const Flight& flight, Counter counter, uint64_t times) {
    if (!flight.is_copy()) board_.count(counter, times);
}

void Dispatcher::record_ns(const Flight& flight, Histogram histogram, uint64_t ns) {
    if (!flight.is_copy()) board_.record_ns(histogram, ns);
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
    count(*dropped, outcome);
    if (outcome == Counter::kGenerationsFinished) note_end(*dropped, now_ns);
    record_ns(*dropped, Histogram::kEndToEndSeconds, now_ns - dropped->admitted_ns);
    show_gauges();
}

bool Dispatcher::poll(uint64_t now_ns) {
    bool arrived = false;
    for (auto worker = workers_.begin(); worker != workers_.end();) {
        const auto here = worker++;
        arrived |= drain(here->second, now_ns);
        if (!here->second.is_broken) continue;
        broken_.push_back(here->first);
        retire(here, shm::PeerEnd::kKilled, now_ns);
    }
    end_overdue(now_ns);
    tell_sinks(now_ns);
    for (auto& [incarnation, worker] : workers_)
        worker.port->pump();
    assign(now_ns);
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
    unlist(flight);
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
    if (!tell_news(id)) return;
    if (!flight->has_ended) return;
    const auto ended = extract(id);
    count(*ended, outcome_of(ended->end));
    note_end(*ended, now_ns);
    record_ns(*ended, Histogram::kEndToEndSeconds, now_ns - ended->admitted_ns);
    ended->sink->on_end(ended->end);
}

// What arrived, in the order in which it is computed. False: its sink cancelled the flight.
bool Dispatcher::tell_news(uint64_t id) {
    Flight* flight = find(id);
    FlightSink& sink = *flight->sink;
    if (const auto start = std::exchange(flight->fresh_start, std::nullopt)) {
        sink.on_started(*start);
        if ((flight = find(id)) == nullptr) return false;
    }
    if (std::exchange(flight->has_fresh_device, false)) {
        sink.on_device_changed();
        if ((flight = find(id)) == nullptr) return false;
    }
    if (!flight->fresh_scores.tokens.empty()) {
        const auto scores = std::exchange(flight->fresh_scores, {});
        sink.on_prompt_scores({scores.tokens, scores.alternatives});
        if ((flight = find(id)) == nullptr) return false;
    }
    if (!flight->fresh_values.empty()) {
        sink.on_embedding(std::exchange(flight->fresh_values, {}));
        if ((flight = find(id)) == nullptr) return false;
    }
    if (!flight->fresh.tokens.empty()) {
        const auto fresh = std::exchange(flight->fresh, {});
        const bool eog = flight->has_ended && flight->end == EndReason::kStop;
        sink.on_tokens({fresh.tokens, fresh.alternatives, eog});
        if ((flight = find(id)) == nullptr) return false;
    }
    return true;
}

// How long answers are and take, as running means of about the last sixteen.
void Dispatcher::note_end(const Flight& flight, uint64_t now_ns) {
    if (flight.dispatched_ns == 0 || flight.is_copy()) return;
    Pace& pace = paces_[flight.spec.model_key];
    const auto service_ns = static_cast<double>(now_ns - flight.dispatched_ns);
    const bool is_first = pace.mean_service_ns == 0;
    pace.mean_service_ns += (service_ns - pace.mean_service_ns) / (is_first ? 1 : 16);
    const bool draws_tokens = flight.spec.position_limit > flight.prompt_count();
    if (!draws_tokens || flight.produced.empty()) return;
    pace.mean_tokens += (static_cast<double>(flight.produced.size()) - pace.mean_tokens) / 16;
}

std::unique_ptr<Flight> Dispatcher::extract(uint64_t id) {
    auto node = flights_.extract(id);
    BITNETD_CHECK(!node.empty());
    std::unique_ptr<Flight> flight = std::move(node.mapped());
    unlist(*flight);
    if (flight->is_copy()) --copies_;
    deadlines_.erase({flight->spec.deadline_ns, id});
    return flight;
}

Flight* Dispatcher::find(uint64_t flight) {
    const auto found = flights_.find(flight);
    return found == flights_.end() ? nullptr : found->second.get();
}

bool Dispatcher::has_flights(uint64_t model_key) const {
    return std::any_of(flights_.begin(), flights_.end(), [model_key](const auto& entry) {
        return entry.second->spec.model_key == model_key;
    });
}

bool Dispatcher::has_records() noexcept {
    for (auto& [incarnation, worker] : workers_) {
        if (worker.port->has_records()) return true;
    }
    return false;
}

uint64_t Dispatcher::wake_at_ns(uint64_t now_ns) const {
    uint64_t at = deadlines_.empty() ? UINT64_MAX : deadlines_.begin()->first;
    for (const auto& [incarnation, worker] : workers_) {
        if (worker.port->is_behind()) at = std::min(at, now_ns + kPumpIntervalNs);
        if (queue_.size() == 0 && worker.waiting_copies.empty()) continue;
        if (worker.paused_until_ns > now_ns) at = std::min(at, worker.paused_until_ns);
        if (!worker.port->is_ready()) at = std::min(at, now_ns + kReadyIntervalNs);
    }
    return at;
}

void Dispatcher::show_gauges() {
    board_.set_gauge(Gauge::kQueueDepth, queue_.size());
    board_.set_gauge(Gauge::kActiveRequests, active());
}

}  // namespace bitnetd::frontend
