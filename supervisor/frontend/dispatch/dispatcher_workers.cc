// Workers: who has what, which record counts, who gets the next flight, what a loss costs.
#include <algorithm>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "supervisor/frontend/dispatch/dispatcher.h"

namespace bitnetd::frontend {
namespace {

// A worker that said busy is asked again after this, or as soon as one of its flights ends.
constexpr uint64_t kBusyPauseNs = 5 * kNsPerMs;
constexpr uint32_t kDeathsToQuarantine = 3;

uint64_t elapsed_ns(uint64_t from_ns, uint64_t to_ns) {
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

bool are_below(std::span<const shm::Alternative> alternatives, uint32_t vocab) {
    return std::all_of(alternatives.begin(), alternatives.end(),
                       [vocab](const shm::Alternative& other) { return other.token < vocab; });
}

}  // namespace

class Dispatcher::Events final : public WorkerEvents {
  public:
    Events(Dispatcher& dispatcher, Worker& worker, uint64_t now_ns)
        : dispatcher_(dispatcher), worker_(worker), now_ns_(now_ns) {}

    void on_started(const shm::StartedRecord& record) noexcept override {
        count_ += 1;
        dispatcher_.take_started(worker_, record, now_ns_);
    }
    void on_token(const shm::TokenRecord& record,
                  std::span<const shm::Alternative> alternatives) noexcept override {
        count_ += 1;
        dispatcher_.take_token(worker_, record, alternatives, now_ns_);
    }
    void on_prompt_scores(const shm::PromptScoresRecord& record,
                          std::span<const PromptScore> scores,
                          std::span<const shm::Alternative> alternatives) noexcept override {
        count_ += 1;
        dispatcher_.take_prompt_scores(worker_, record, scores, alternatives);
    }
    void on_embedding(const shm::EmbeddingRecord& record,
                      std::span<const float> values) noexcept override {
        count_ += 1;
        dispatcher_.take_embedding(worker_, record, values);
    }
    void on_give_back(const shm::GiveBackRecord& record) noexcept override {
        count_ += 1;
        dispatcher_.take_give_back(worker_, record, now_ns_);
    }
    void on_failed(const shm::FailedRecord& record) noexcept override {
        count_ += 1;
        dispatcher_.take_failed(worker_, record);
    }
    size_t count() const { return count_; }

  private:
    Dispatcher& dispatcher_;
    Worker& worker_;
    const uint64_t now_ns_;
    size_t count_ = 0;
};

void Dispatcher::add_worker(WorkerFacts facts, std::unique_ptr<WorkerPort> port, uint64_t now_ns) {
    log::info("worker_attached", {{"worker", facts.slot},
                                  {"incarnation", facts.incarnation},
                                  {"device", facts.device},
                                  {"credits", facts.credits}});
    Worker& worker = workers_[facts.incarnation];
    worker.facts = std::move(facts);
    worker.port = std::move(port);
    assign(now_ns);
}

void Dispatcher::remove_worker(uint64_t incarnation, shm::PeerEnd end, uint64_t now_ns) {
    const auto worker = workers_.find(incarnation);
    if (worker == workers_.end()) return;  // already retired for what it wrote
    drain(worker->second, now_ns);
    retire(worker, end, now_ns);
    tell_sinks(now_ns);
    assign(now_ns);
    show_gauges();
}

void Dispatcher::keep_workers(const std::set<uint64_t>& incarnations, uint64_t now_ns) {
    std::vector<uint64_t> gone;
    for (const auto& [incarnation, worker] : workers_) {
        if (!incarnations.contains(incarnation)) gone.push_back(incarnation);
    }
    for (const uint64_t incarnation : gone)
        remove_worker(incarnation, shm::PeerEnd::kKilled, now_ns);
}

void Dispatcher::promote_worker(uint64_t incarnation, uint64_t now_ns) {
    const auto found = workers_.find(incarnation);
    if (found == workers_.end() || !found->second.facts.is_canary) return;
    found->second.facts.is_canary = false;
    log::info("canary_promoted",
              {{"worker", found->second.facts.slot}, {"incarnation", incarnation}});
    assign(now_ns);
}

void Dispatcher::retire(std::map<uint64_t, Worker>::iterator at, shm::PeerEnd end,
                        uint64_t now_ns) {
    Worker& worker = at->second;
    const std::set<uint64_t> lost = std::move(worker.flights);
    worker.flights.clear();
    end_copies(worker.waiting_copies);
    for (const uint64_t id : lost) {
        Flight& flight = *find(id);
        flight.worker = 0;
        flight.unbegun_tokens = 0;
        if (flight.is_copy()) {
            end_copies({id});
            continue;
        }
        if (end == shm::PeerEnd::kOwnFault && worker.port->is_in_step_plan(id)) {
            count_death(flight, now_ns);
        }
        if (flight.has_ended) continue;
        board_.count(Counter::kGenerationsResumed);
        queue_.put_back(flight);
    }
    log::info("worker_detached", {{"worker", worker.facts.slot},
                                  {"incarnation", worker.facts.incarnation},
                                  {"flights_taken_back", lost.size()}});
    const uint64_t model_key = worker.facts.model_key;
    workers_.erase(at);
    if (models_gone_.contains(model_key)) end_orphans(model_key, EndReason::kModelGone);
}

void Dispatcher::end_copies(std::set<uint64_t> ids) {
    for (const uint64_t id : ids) {
        if (Flight& copy = *find(id); !copy.has_ended) mark_ended(copy, EndReason::kCanaryGone);
    }
}

// A death of the worker's own doing while it worked on this flight. A token since the last counted
// one shows that the flight can be computed: the series begins anew. So does a score or a value.
void Dispatcher::count_death(Flight& flight, uint64_t now_ns) {
    flight.deaths = flight.produced_since_death ? 1 : flight.deaths + 1;
    flight.produced_since_death = false;
    if (flight.deaths < kDeathsToQuarantine) return;
    quarantine_.add(flight.digest, now_ns);
    log::error("request_quarantined", {{"digest", to_hex(flight.digest)},
                                       {"deaths", flight.deaths},
                                       {"prompt_tokens", flight.prompt_count()}});
    mark_ended(flight, EndReason::kQuarantined);
}

void Dispatcher::remove_model(uint64_t model_key, uint64_t now_ns) {
    models_gone_.insert(model_key);
    paces_.erase(model_key);
    end_orphans(model_key, EndReason::kModelGone);
    tell_sinks(now_ns);
}

bool Dispatcher::drain(Worker& worker, uint64_t now_ns) {
    Events events(*this, worker, now_ns);
    if (!worker.port->drain(events)) worker.is_broken = true;
    if (worker.is_broken) {
        log::error("worker_garbled",
                   {{"worker", worker.facts.slot}, {"incarnation", worker.facts.incarnation}});
    }
    return events.count() > 0;
}

// The flight, when this attempt on this worker may speak for it.
Flight* Dispatcher::current(const Worker& worker, uint64_t id, uint32_t attempt) {
    Flight* flight = find(id);
    if (worker.is_broken || flight == nullptr || flight->has_ended) return nullptr;
    if (flight->worker != worker.facts.incarnation || flight->attempt != attempt) return nullptr;
    return flight;
}

void Dispatcher::take_started(Worker& worker, const shm::StartedRecord& record, uint64_t now_ns) {
    Flight* flight = current(worker, record.flight, record.attempt);
    if (flight == nullptr) return;
    worker.unbegun_tokens -= std::exchange(flight->unbegun_tokens, 0);
    if (flight->started) return note_device(*flight, worker);
    flight->started = true;
    flight->device = worker.facts.device;
    FlightStart start;
    start.device = worker.facts.device;
    start.worker = worker.facts.incarnation;
    start.cached_tokens = std::min(record.cached_count, flight->prompt_count());
    const uint64_t admitted_ns = std::min(record.admitted_ns, now_ns);
    start.queue_ns = elapsed_ns(flight->admitted_ns, admitted_ns);
    start.prefill_done_ns = std::min(record.prefill_done_ns, now_ns);
    start.prefill_ns = elapsed_ns(admitted_ns, start.prefill_done_ns);
    record_ns(*flight, Histogram::kQueueSeconds, start.queue_ns);
    flight->fresh_start = std::move(start);
    mark_dirty(*flight);
}

// Of another device the floats may round otherwise: whoever compares texts wants to know.
void Dispatcher::note_device(Flight& flight, const Worker& worker) {
    const std::string& device = worker.facts.device;
    if (flight.device_changed || device_class(device) == device_class(flight.device)) return;
    flight.device_changed = flight.has_fresh_device = true;
    mark_dirty(flight);
    log::info("flight_moved_device", {{"from", flight.device}, {"to", device}});
}

void Dispatcher::take_token(Worker& worker, const shm::TokenRecord& record,
                            std::span<const shm::Alternative> alternatives, uint64_t now_ns) {
    Flight* flight = current(worker, record.flight, record.attempt);
    if (flight == nullptr || record.position < flight->next_position()) {
        board_.count(Counter::kTokensStale);
        return;
    }
    const bool is_due = flight->draws_tokens() && !flight->awaits_scores();
    const bool is_next = record.position == flight->next_position();
    if (!is_due || !is_next || record.token >= flight->spec.vocab ||
        !are_below(alternatives, flight->spec.vocab)) {
        worker.is_broken = true;
        return;
    }

    flight->fresh.add(record.token, record.logprob, alternatives, record.step);
    flight->produced.push_back(record.token);
    flight->produced_since_death = true;
    if (flight->first_token_ns == 0) {
        flight->first_token_ns = now_ns;
        record_ns(*flight, Histogram::kFirstTokenSeconds, elapsed_ns(flight->admitted_ns, now_ns));
    } else {
        record_ns(*flight, Histogram::kInterTokenSeconds,
                  elapsed_ns(flight->last_token_ns, now_ns));
    }
    flight->last_token_ns = now_ns;
    count(*flight, Counter::kGeneratedTokens);
    mark_dirty(*flight);

    const bool is_full = flight->next_position() >= flight->spec.position_limit;
    if (record.finish == shm::Finish::kNone && !is_full) return;
    take_from_worker(*flight, /*tell_worker=*/record.finish == shm::Finish::kNone);
    mark_ended(*flight, record.finish == shm::Finish::kEndOfGeneration ? EndReason::kStop
                                                                       : EndReason::kLength);
}

// An attempt sends all scores from the first on; those that an earlier one sent are passed over.
// None may be missing between them, and the last completes them.
void Dispatcher::take_prompt_scores(Worker& worker, const shm::PromptScoresRecord& record,
                                    std::span<const PromptScore> scores,
                                    std::span<const shm::Alternative> alternatives) {
    Flight* flight = current(worker, record.flight, record.attempt);
    if (flight == nullptr || flight->has_scores) return;
    const uint64_t end = uint64_t{record.first_position} + scores.size();
    const bool is_empty_rightly = !scores.empty() || flight->prompt_count() == 1;
    if (!flight->awaits_scores() || !is_empty_rightly || record.first_position == 0 ||
        record.first_position > flight->scored_count || end > flight->prompt_count() ||
        !are_below(alternatives, flight->spec.vocab)) {
        worker.is_broken = true;
        return;
    }
    for (uint32_t& position = flight->scored_count; position < end; ++position) {
        const PromptScore& score = scores[position - record.first_position];
        flight->fresh_scores.add(
            (*flight->spec.prompt)[position], score.logprob,
            alternatives.subspan(score.alternatives_first, score.alternatives_count));
        flight->produced_since_death = true;
    }
    flight->has_scores = flight->scored_count == flight->prompt_count();
    mark_dirty(*flight);
    if (!flight->has_scores || flight->draws_tokens()) return;
    take_from_worker(*flight, /*tell_worker=*/false);
    mark_ended(*flight, EndReason::kLength);
}

// As for scores: passed over what is known, nothing missing between, ended by the last value.
void Dispatcher::take_embedding(Worker& worker, const shm::EmbeddingRecord& record,
                                std::span<const float> values) {
    Flight* flight = current(worker, record.flight, record.attempt);
    if (flight == nullptr) return;
    if ((flight->spec.flags & shm::kWantEmbedding) == 0 ||
        record.value_count != flight->spec.embedding_values ||
        record.first_value > flight->embedding_count) {
        worker.is_broken = true;
        return;
    }
    const size_t known =
        std::min<size_t>(flight->embedding_count - record.first_value, values.size());
    const auto fresh = values.subspan(known);
    if (fresh.empty()) return;
    flight->fresh_values.insert(flight->fresh_values.end(), fresh.begin(), fresh.end());
    flight->embedding_count += static_cast<uint32_t>(fresh.size());
    flight->produced_since_death = true;
    mark_dirty(*flight);
    if (flight->embedding_count < record.value_count) return;
    take_from_worker(*flight, /*tell_worker=*/false);
    mark_ended(*flight, EndReason::kLength);
}

void Dispatcher::take_give_back(Worker& worker, const shm::GiveBackRecord& record,
                                uint64_t now_ns) {
    if (record.reason == shm::GiveBackReason::kDraining) {
        worker.is_draining = true;
        end_copies(worker.waiting_copies);
    }
    Flight* flight = current(worker, record.flight, record.attempt);
    if (flight == nullptr) return;
    take_from_worker(*flight, /*tell_worker=*/false);
    worker.paused_until_ns = now_ns + kBusyPauseNs;
    if (!flight->is_copy()) return queue_.put_back(*flight);
    worker.waiting_copies.insert(flight->id);
    if (worker.is_draining) end_copies({flight->id});
}

void Dispatcher::take_failed(Worker& worker, const shm::FailedRecord& record) {
    Flight* flight = current(worker, record.flight, record.attempt);
    if (flight == nullptr) return;
    take_from_worker(*flight, /*tell_worker=*/false);
    EndReason reason = EndReason::kInternal;
    if (record.code == shm::FailureCode::kTooLong) reason = EndReason::kTooLong;
    if (record.code == shm::FailureCode::kBadNumbers) reason = EndReason::kBadNumbers;
    log::error("flight_failed", {{"worker", worker.facts.slot}, {"reason", to_string(reason)}});
    mark_ended(*flight, reason);
}

// Ends the worker's part in a flight: its credit is free and the worker may be asked again.
void Dispatcher::take_from_worker(Flight& flight, bool tell_worker) {
    for (auto& [incarnation, worker] : workers_) {
        if (worker.reserved_for == flight.id) worker.reserved_for = 0;
    }
    const auto found = workers_.find(flight.worker);
    flight.worker = 0;
    if (found == workers_.end()) return;
    Worker& worker = found->second;
    worker.flights.erase(flight.id);
    worker.unbegun_tokens -= std::exchange(flight.unbegun_tokens, 0);
    worker.paused_until_ns = 0;
    if (tell_worker) worker.port->cancel(flight.id, flight.attempt);
}

}  // namespace bitnetd::frontend
