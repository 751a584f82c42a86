#include "worker/loop/step_loop.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker/loop/publisher.h"

namespace bitnetd::worker {

StepLoop::StepLoop(const Settings& settings, const Parts& parts)
    : settings_(settings),
      engine_(parts.engine),
      cache_(parts.cache),
      board_(parts.board),
      doorbell_(parts.doorbell),
      control_(parts.control),
      scheduler_({.slots_max = settings.slots_max,
                  .step_tokens_max = settings.step_tokens_max,
                  .page_tokens = kPageTokens,
                  .pages_total = parts.cache.pages_total()}),
      flights_(scheduler_, parts.cache, settings.slots_max, settings.context_max),
      intake_(flights_, scheduler_,
              {.vocab = settings.vocab, .context_max = settings.context_max}) {
    rows_.reserve(settings.step_tokens_max);
    draws_.reserve(settings.slots_max);
    step_flights_.reserve(settings.slots_max);
    board_.set_worker_limits(settings.slots_max, settings.context_max, kPageTokens);
    board_.set_gauge(Gauge::kKvPagesTotal, cache_.pages_total());
}

bool StepLoop::turn() {
    const uint64_t now_ns = monotonic_ns();
    board_.heartbeat(now_ns);
    if (drain_asked_.load(std::memory_order_relaxed)) drain("asked by a signal");
    // Often enough that a new frontend or a drain waits no longer than a short step.
    constexpr uint64_t kControlIntervalNs = 2 * kNsPerMs;
    if (now_ns - control_read_ns_ >= kControlIntervalNs) {
        control_read_ns_ = now_ns;
        read_control();
    }
    publish_all();
    take_requests();
    const bool stepped = step();
    ring_bells();
    board_.set_slots_used(flights_.used());
    board_.set_gauge(Gauge::kKvPagesUsed, cache_.pages_total() - cache_.pages_free());
    board_.set_gauge(Gauge::kRunningSequences, scheduler_.running());
    board_.set_gauge(Gauge::kWaitingSequences, scheduler_.waiting());
    check_end(now_ns);
    return stepped;
}

void StepLoop::take_requests() {
    for (uint32_t index = 0; index < kPeersMax; ++index) {
        Peer* peer = peers_.at(index);
        if (peer == nullptr) continue;
        if (!intake_.take(index, *peer).ok() || peer->is_broken()) drop_peer(index);
    }
}

bool StepLoop::step() {
    const Plan plan = scheduler_.next_step();
    admit(plan.admitted);
    if (plan.entries.empty()) return false;
    build_step(plan);
    compute(plan);
    settle(plan, monotonic_ns());
    return true;
}

void StepLoop::admit(std::span<const uint32_t> slots) {
    if (slots.empty()) return;
    const uint64_t now_ns = monotonic_ns();
    for (const uint32_t slot : slots) {
        // The scheduler counts the pages that the cache has.
        BITNETD_CHECK(cache_.reserve(slot, flights_[slot].position_limit));
        flights_[slot].admitted_ns = now_ns;
    }
}

void StepLoop::build_step(const Plan& plan) {
    rows_.clear();
    draws_.clear();
    step_flights_.clear();
    for (const PlanEntry& entry : plan.entries) {
        Flight& flight = flights_[entry.slot];
        const std::span<const uint32_t> ids = flights_.ids(entry.slot);
        std::byte* const* pages = cache_.pages(entry.slot);
        for (uint32_t position = entry.first; position < entry.first + entry.count; ++position) {
            rows_.push_back({ids[position], position, pages});
        }
        step_flights_.push_back({peers_.at(flight.peer)->incarnation(), flight.name});
        if (!entry.draws) continue;
        draws_.push_back(
            {.row = static_cast<uint32_t>(rows_.size()) - 1,
             .is_score = false,
             .known_token = 0,
             .params = &flight.sampling,
             .context = {ids, flight.prompt_count, flights_.bias(entry.slot), settings_.end_ids},
             .drawn = &flight.drawn});
    }
}

void StepLoop::compute(const Plan& plan) {
    const uint64_t begun_ns = monotonic_ns();
    board_.begin_step(step_flights_, begun_ns);
    engine_.step(rows_, draws_);
    board_.end_step();
    note_step(plan, monotonic_ns() - begun_ns);
}

void StepLoop::note_step(const Plan& plan, uint64_t took_ns) {
    rates_.step_took(plan.rows, plan.prompt_rows, took_ns);
    board_.set_worker_rates(rates_.decode_ns(), rates_.prefill_token_ns());
    board_.count(Counter::kSteps);
    board_.count(Counter::kStepRows, plan.rows);
    board_.count(Counter::kPrefillTokens, plan.prompt_rows);
    board_.count(Counter::kDecodeTokens, draws_.size());
    board_.count(Counter::kStepNs, took_ns);
}

void StepLoop::settle(const Plan& plan, uint64_t now_ns) {
    scheduler_.step_done();
    for (const PlanEntry& entry : plan.entries) {
        if (!entry.draws) continue;
        if (entry.is_prompt) {
            flights_[entry.slot].prefill_done_ns = now_ns;
            flights_[entry.slot].started_due = true;
        }
        take_token(entry.slot);
    }
}

void StepLoop::take_token(uint32_t slot) {
    Flight& flight = flights_[slot];
    if (!flight.drawn.valid) {
        flight.failure = shm::FailureCode::kBadNumbers;
        flight.failure_due = true;
        flights_.end(slot);
    } else {
        const uint32_t token = flight.drawn.token;
        const uint32_t position = flight.id_count;
        flights_.append_id(slot, token);
        flight.token_due = true;
        if (finish_of(flight, token, position, settings_.end_ids) != shm::Finish::kNone) {
            flights_.end(slot);
        } else {
            scheduler_.token_drawn(slot);
        }
    }
    publish(slot);
}

// What is due; a flight that has something left is not computed further, and one that has ended and
// has nothing left is forgotten.
void StepLoop::publish(uint32_t slot) {
    Flight& flight = flights_[slot];
    const bool published = publish_due(flight, *peers_.at(flight.peer), settings_.end_ids);
    if (flight.state == Flight::State::kScheduled) {
        scheduler_.hold(slot, !published);
    } else if (published) {
        flights_.free(slot);
    }
}

void StepLoop::publish_all() {
    for (uint32_t slot = 0; slot < flights_.slots_max(); ++slot) {
        if (flights_[slot].has_unpublished()) publish(slot);
    }
}

bool StepLoop::has_unpublished() {
    for (uint32_t slot = 0; slot < flights_.slots_max(); ++slot) {
        if (flights_[slot].has_unpublished()) return true;
    }
    return false;
}

void StepLoop::ring_bells() {
    for (uint32_t index = 0; index < kPeersMax; ++index) {
        if (Peer* peer = peers_.at(index)) peer->ring_bell();
    }
}

}  // namespace bitnetd::worker
