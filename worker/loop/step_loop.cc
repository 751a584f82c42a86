#include "worker/loop/step_loop.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker/loop/publisher.h"
#include "worker/speculation/prompt_lookup.h"

namespace bitnetd::worker {

StepLoop::StepLoop(const Settings& settings, const Parts& parts)
    : settings_(settings),
      engine_(parts.engine),
      cache_(parts.cache),
      board_(parts.board),
      doorbell_(parts.doorbell),
      control_(parts.control),
      scheduler_({.slots_max = settings.slots_max, .step_tokens_max = settings.step_tokens_max},
                 parts.cache.pages()),
      flights_(scheduler_, settings.slots_max, settings.context_max),
      intake_(flights_, scheduler_,
              {.vocab = settings.vocab,
               .context_max = settings.context_max,
               .pooling = settings.pooling,
               .hidden = settings.hidden}),
      drafts_(settings.speculation, settings.slots_max),
      supervisor_(settings.orphan_timeout_ms * kNsPerMs) {
    rows_.reserve(settings.step_tokens_max);
    draws_.reserve(settings.step_tokens_max);
    step_flights_.reserve(settings.slots_max);
    board_.set_worker_limits(settings.slots_max, settings.context_max, kPageTokens);
    board_.set_gauge(Gauge::kKvPagesTotal, cache_.pages().pages_total());
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
    const KvPages& pages = cache_.pages();
    board_.set_gauge(Gauge::kKvPagesUsed, pages.pages_total() - pages.available());
    board_.set_gauge(Gauge::kKvPagesCached, pages.cached());
    board_.set_gauge(Gauge::kRunningSequences, scheduler_.running());
    board_.set_gauge(Gauge::kWaitingSequences, scheduler_.waiting());
    check_end(now_ns);
    return stepped;
}

void StepLoop::take_requests() {
    for (uint32_t index = 0; index < kPeersMax; ++index) {
        Peer* peer = peers_.at(index);
        if (peer == nullptr) continue;
        if (!intake_.take(index, *peer).ok() || peer->is_broken()) drop_broken_peer(index);
    }
}

bool StepLoop::step() {
    Plan plan = scheduler_.next_step(prompt_rows_max());
    admit(plan);
    if (plan.entries.empty()) return false;
    add_drafts(plan);
    cache_.copy_pages();
    build_step(plan);
    compute(plan);
    settle(plan, monotonic_ns());
    return true;
}

// How many prompt rows a step may have while others decode and wait for it: as many as they are, or
// as take some time that nobody notices, or as make the reading of the weights worth it, by what
// steps were measured to take.
uint32_t StepLoop::prompt_rows_max() const {
    constexpr uint64_t kUnnoticedNs = 50 * kNsPerMs;
    // Arithmetic then takes six times as long as reading the weights: 86 % of the rate of more.
    constexpr uint64_t kWorthReading = 6;
    const uint64_t row_ns = rates_.prefill_token_ns();
    if (row_ns == 0 || rates_.decode_ns() == 0) return settings_.step_tokens_max;
    const uint64_t worth_it = kWorthReading * (rates_.decode_ns() / row_ns);
    const uint64_t rows =
        std::max({uint64_t{scheduler_.running()}, kUnnoticedNs / row_ns, worth_it, uint64_t{16}});
    return static_cast<uint32_t>(std::min<uint64_t>(rows, settings_.step_tokens_max));
}

void StepLoop::admit(const Plan& plan) {
    board_.count(Counter::kPreemptions, plan.preempted);
    if (plan.admitted.empty()) return;
    const uint64_t now_ns = monotonic_ns();
    for (const uint32_t slot : plan.admitted) {
        drafts_.forget(slot);
        if (flights_[slot].admitted_ns == 0) flights_[slot].admitted_ns = now_ns;
    }
}

// Guesses what decoding sequences draw next, and lets the step verify what is worth it.
void StepLoop::add_drafts(Plan& plan) {
    const uint32_t wanted =
        drafts_.begin_step(plan.rows - plan.prompt_rows, plan.prompt_rows, plan.rows_left);
    for (size_t i = 0; i < plan.entries.size(); ++i) {
        const PlanEntry& entry = plan.entries[i];
        Flight& flight = flights_[entry.slot];
        flight.guessed_count = 0;
        if (wanted == 0 || entry.is_prompt) continue;
        // The token drawn after the last guess must be within the limit too.
        const uint32_t room = flight.position_limit - flight.id_count - 1;
        flight.guessed_count = guess_by_lookup(flights_.id_memory(entry.slot), flight.id_count,
                                               std::min(wanted, room));
        scheduler_.add_drafts(plan, i, drafts_.drafts_of(entry.slot, flight.guessed_count));
    }
}

void StepLoop::build_step(const Plan& plan) {
    rows_.clear();
    draws_.clear();
    step_flights_.clear();
    for (const PlanEntry& entry : plan.entries) {
        const Flight& flight = flights_[entry.slot];
        const std::span<const uint32_t> ids = flights_.id_memory(entry.slot);
        std::byte* const* pages = cache_.table(entry.slot);
        const auto first_row = static_cast<uint32_t>(rows_.size());
        for (uint32_t position = entry.first; position < entry.first + entry.count; ++position) {
            rows_.push_back({ids[position], position, pages});
        }
        step_flights_.push_back({peers_.at(flight.peer)->incarnation(), flight.name});
        if (entry.is_prompt && flight.results.wants_scores) build_scores(entry, first_row);
        if (entry.draws) build_draws(entry);
    }
}

// The score of each prompt id is that of the row before it. Those that were published before the
// sequence lost its pages are not asked for again.
void StepLoop::build_scores(const PlanEntry& entry, uint32_t first_row) {
    Flight& flight = flights_[entry.slot];
    PromptResults& results = flight.results;
    const std::span<const uint32_t> ids = flights_.ids(entry.slot);
    results.score_count = 0;
    results.scores_published = 0;
    for (uint32_t i = 0; i < entry.count; ++i) {
        const uint32_t position = entry.first + i + 1;
        if (position < results.score_position || position >= flight.prompt_count) continue;
        draws_.push_back({.row = first_row + i,
                          .is_score = true,
                          .known_token = ids[position],
                          .params = &flight.sampling,
                          .context = {},
                          .drawn = &results.scores[results.score_count++]});
    }
}

// After the newest id, and after each draft as if those before it had been drawn.
void StepLoop::build_draws(const PlanEntry& entry) {
    Flight& flight = flights_[entry.slot];
    const std::span<const uint32_t> ids = flights_.id_memory(entry.slot);
    const auto first_row = static_cast<uint32_t>(rows_.size()) - entry.drafts - 1;
    for (uint32_t i = 0; i <= entry.drafts; ++i) {
        draws_.push_back({.row = first_row + i,
                          .is_score = false,
                          .known_token = 0,
                          .params = &flight.sampling,
                          .context = {ids.first(flight.id_count + i), flight.prompt_count,
                                      flights_.bias(entry.slot), settings_.end_ids},
                          .drawn = &flight.drawn[i]});
    }
}

void StepLoop::compute(const Plan& plan) {
    const uint64_t begun_cpu_ns = process_cpu_ns();
    const uint64_t begun_ns = monotonic_ns();
    board_.begin_step(step_flights_, begun_ns);
    engine_.step(rows_, draws_);
    board_.end_step();
    ++steps_;
    note_step(plan, monotonic_ns() - begun_ns);
    board_.count(Counter::kStepCpuNs, process_cpu_ns() - begun_cpu_ns);
}

void StepLoop::note_step(const Plan& plan, uint64_t took_ns) {
    rates_.step_took(plan.rows, plan.prompt_rows, took_ns);
    drafts_.step_took(plan.rows, plan.prompt_rows, took_ns);
    board_.set_worker_rates(rates_.decode_ns(), rates_.prefill_token_ns());
    board_.count(Counter::kSteps);
    board_.count(Counter::kStepRows, plan.rows);
    board_.count(Counter::kPrefillTokens, plan.prompt_rows);
    board_.count(Counter::kStepNs, took_ns);
}

void StepLoop::settle(const Plan& plan, uint64_t now_ns) {
    scheduler_.step_done();
    uint32_t first_row = 0;
    for (const PlanEntry& entry : plan.entries) {
        const bool ends_prompt = entry.is_prompt && take_prompt(entry, first_row, now_ns);
        first_row += entry.count;
        if (entry.draws && flights_[entry.slot].state == Flight::State::kScheduled) {
            take_tokens(entry);
            continue;
        }
        if (ends_prompt) flights_.end(entry.slot);
        if (flights_[entry.slot].has_unpublished()) publish(entry.slot);
    }
}

// A chunk of a prompt is computed. Whether it was the last one.
bool StepLoop::take_prompt(const PlanEntry& entry, uint32_t first_row, uint64_t now_ns) {
    Flight& flight = flights_[entry.slot];
    const bool is_last = entry.first + entry.count == flight.id_count;
    if (is_last && flight.prefill_done_ns == 0) {
        flight.prefill_done_ns = now_ns;
        flight.cached_count = scheduler_.reused(entry.slot);
        flight.started_due = true;
        flight.results.has_none_due = flight.results.wants_scores && flight.prompt_count == 1;
        board_.count(Counter::kPromptTokensCached, flight.cached_count);
    }
    if (flight.results.wants_scores) check_scores(entry.slot);
    if (flight.results.wants_embedding) pool(entry, first_row);
    return is_last;
}

void StepLoop::check_scores(uint32_t slot) {
    PromptResults& results = flights_[slot].results;
    const auto scores = std::span(results.scores).first(results.score_count);
    if (std::ranges::all_of(scores, &Drawn::valid)) return;
    results.score_count = 0;
    fail(slot);
}

void StepLoop::pool(const PlanEntry& entry, uint32_t first_row) {
    PromptResults& results = flights_[entry.slot].results;
    if (entry.first == 0) results.pooler->clear();
    for (uint32_t i = 0; i < entry.count; ++i)
        results.pooler->add(engine_.hidden_of(first_row + i));
    if (entry.first + entry.count == flights_[entry.slot].id_count) {
        results.pooler->write(results.embedding);
        results.embedding_count = settings_.hidden;
    }
}

void StepLoop::fail(uint32_t slot) {
    flights_[slot].failure = shm::FailureCode::kBadNumbers;
    flights_[slot].failure_due = true;
    flights_.end(slot);
}

// The tokens of one sequence in order, up to the first that its draft did not foresee: what was
// drawn after a wrong guess is not this sequence's. Its keys and values are written again when the
// right id is computed.
void StepLoop::take_tokens(const PlanEntry& entry) {
    Flight& flight = flights_[entry.slot];
    flight.drawn_count = 0;
    flight.published_count = 0;
    flight.drawn_step = steps_;
    uint32_t row = 0;
    while (row <= entry.drafts && take_token(entry, row))
        ++row;
    if (flight.state == Flight::State::kScheduled) {
        scheduler_.tokens_drawn(entry.slot, flight.drawn_count);
    }
    board_.count(Counter::kDecodeTokens, flight.drawn_count);
    if (entry.drafts > 0) {
        board_.count(Counter::kDraftedTokens, entry.drafts);
        board_.count(Counter::kDraftsAccepted, std::max(flight.drawn_count, 1u) - 1);
    }
    publish(entry.slot);
}

// Whether the sequence goes on with what was drawn after the next row.
bool StepLoop::take_token(const PlanEntry& entry, uint32_t row) {
    Flight& flight = flights_[entry.slot];
    const Drawn& drawn = flight.drawn[row];
    if (!drawn.valid) {
        fail(entry.slot);
        return false;
    }
    const uint32_t position = flight.id_count;
    const bool is_guessed = row < flight.guessed_count;
    const bool as_guessed = is_guessed && flights_.id_memory(entry.slot)[position] == drawn.token;
    if (is_guessed) drafts_.guess_was(entry.slot, as_guessed);
    flights_.append_id(entry.slot, drawn.token);
    ++flight.drawn_count;
    if (finish_of(flight, drawn.token, position, settings_.end_ids) == shm::Finish::kNone) {
        return as_guessed;
    }
    flights_.end(entry.slot);
    return false;
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

void StepLoop::ring_bells() {
    for (uint32_t index = 0; index < kPeersMax; ++index) {
        if (Peer* peer = peers_.at(index)) peer->ring_bell();
    }
}

}  // namespace bitnetd::worker
