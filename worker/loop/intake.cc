#include "worker/loop/intake.h"

#include <cmath>

#include "common/base/bytes.h"
#include "worker/loop/publisher.h"

namespace bitnetd::worker {
namespace {

constexpr uint32_t kKnownFlags =
    shm::kIgnoreEos | shm::kWantLogprobs | shm::kScorePrompt | shm::kWantEmbedding;

// Only what is wanted of the prompt can end a flight that draws no token; an embedding does.
bool has_fitting_limit(const shm::SubmitRecord& record) {
    const bool scores = (record.flags & shm::kScorePrompt) != 0;
    const bool embeds = (record.flags & shm::kWantEmbedding) != 0;
    if (scores && embeds) return false;
    if (record.position_limit == record.id_count) return scores || embeds;
    return record.position_limit > record.id_count && !embeds;
}

bool is_probability(float value) {
    return value >= 0 && value <= 1;
}  // false for NaN

bool is_consistent(const shm::SubmitRecord& record) {
    return record.id_count >= 1 && record.prompt_count >= 1 &&
           record.prompt_count <= record.id_count && has_fitting_limit(record) &&
           record.ids_here <= record.id_count && record.bias_count <= shm::kLogitBiasMax &&
           record.logprobs <= shm::kLogprobsMax &&
           record.priority <= static_cast<uint32_t>(Priority::kLow) &&
           (record.flags & ~kKnownFlags) == 0;
}

bool has_sane_sampling(const shm::SubmitRecord& record) {
    return std::isfinite(record.temperature) && record.temperature >= 0 &&
           is_probability(record.top_p) && is_probability(record.min_p) &&
           is_probability(record.typical_p) && std::isfinite(record.repetition_penalty) &&
           record.repetition_penalty > 0 && std::isfinite(record.frequency_penalty) &&
           std::isfinite(record.presence_penalty);
}

SamplingParams sampling_of(const shm::SubmitRecord& record) {
    return {.seed = record.seed,
            .temperature = record.temperature,
            .top_p = record.top_p,
            .min_p = record.min_p,
            .typical_p = record.typical_p,
            .repetition_penalty = record.repetition_penalty,
            .frequency_penalty = record.frequency_penalty,
            .presence_penalty = record.presence_penalty,
            .top_k = record.top_k,
            .alternatives_count = record.logprobs,
            .wants_logprobs = (record.flags & shm::kWantLogprobs) != 0,
            .ignore_eos = (record.flags & shm::kIgnoreEos) != 0};
}

}  // namespace

Intake::Intake(FlightTable& flights, const Scheduler& scheduler, const Limits& limits)
    : flights_(flights), scheduler_(scheduler), limits_(limits) {}

Result<size_t> Intake::take(uint32_t peer_index, Peer& peer) {
    size_t taken = 0;
    while (taken < kRequestsPerTurn && peer.can_be_answered()) {
        const auto count = peer.requests().poll(
            [&](shm::RecordType type, std::span<const std::byte> payload) {
                on_record(peer_index, peer, type, payload);
            },
            1);
        if (!count.ok()) return count;
        if (*count == 0) break;
        ++taken;
    }
    return taken;
}

// Unknown types are a newer frontend's and are passed over.
void Intake::on_record(uint32_t peer_index, Peer& peer, shm::RecordType type,
                       std::span<const std::byte> payload) {
    switch (type) {
        case shm::RecordType::kSubmit:
            return on_submit(peer_index, peer, payload);
        case shm::RecordType::kSubmitMore:
            return on_more(peer_index, peer, payload);
        case shm::RecordType::kSubmitBias:
            return on_bias(peer_index, peer, payload);
        case shm::RecordType::kCancel:
            return on_cancel(peer_index, payload);
        default:
            return;
    }
}

void Intake::on_submit(uint32_t peer_index, Peer& peer, std::span<const std::byte> payload) {
    if (payload.size() < sizeof(shm::SubmitRecord)) return;
    const auto record = load<shm::SubmitRecord>(payload.data());
    const auto fail = [&](shm::FailureCode code) {
        refuse(peer, record.flight, record.attempt, code);
    };
    // A newer attempt replaces an older one that was given up without a cancellation.
    if (const auto old = flights_.find(peer_index, record.flight)) {
        if (flights_[*old].attempt >= record.attempt) return fail(shm::FailureCode::kBadRecord);
        flights_.free(*old);
    }
    if (draining_) {
        return give_back(peer, record.flight, record.attempt, shm::GiveBackReason::kDraining);
    }
    const std::span<const std::byte> ids = payload.subspan(sizeof record);
    if (!is_consistent(record) || !has_sane_sampling(record) ||
        ids.size() != uint64_t{record.ids_here} * sizeof(uint32_t)) {
        return fail(shm::FailureCode::kBadRecord);
    }
    if (record.position_limit > limits_.context_max ||
        !scheduler_.can_ever_run(record.position_limit)) {
        return fail(shm::FailureCode::kTooLong);
    }
    const bool has_credit = flights_.count_of(peer_index) < peer.credits();
    const auto slot = has_credit ? flights_.take(peer_index, record.flight, record.attempt)
                                 : std::optional<uint32_t>();
    if (!slot) return give_back(peer, record.flight, record.attempt, shm::GiveBackReason::kBusy);
    Flight& flight = flights_[*slot];
    flight.ids_expected = record.id_count;
    flight.prompt_count = record.prompt_count;
    flight.position_limit = record.position_limit;
    flight.bias_expected = record.bias_count;
    flight.priority = static_cast<Priority>(record.priority);
    flight.sampling = sampling_of(record);
    want_results(flight.results, record.flags);
    go_on(*slot, peer, append_ids(*slot, ids));
}

void Intake::want_results(PromptResults& results, uint32_t flags) const {
    results.wants_scores = (flags & shm::kScorePrompt) != 0;
    results.wants_embedding = (flags & shm::kWantEmbedding) != 0;
    if (results.wants_scores) results.scores.resize(kResultRowsMax);
    if (!results.wants_embedding) return;
    results.pooler.emplace(limits_.pooling, limits_.hidden);
    results.embedding.resize(limits_.hidden);
}

// Records of flights we do not have (given back, failed, cancelled) are passed over.
void Intake::on_more(uint32_t peer_index, Peer& peer, std::span<const std::byte> payload) {
    if (payload.size() < sizeof(shm::SubmitMoreRecord)) return;
    const auto record = load<shm::SubmitMoreRecord>(payload.data());
    const auto slot = flights_.find(peer_index, record.flight);
    if (!slot || flights_[*slot].attempt != record.attempt) return;
    const std::span<const std::byte> ids = payload.subspan(sizeof record);
    const bool sized = ids.size() == uint64_t{record.ids_here} * sizeof(uint32_t);
    go_on(*slot, peer, sized && append_ids(*slot, ids));
}

void Intake::on_bias(uint32_t peer_index, Peer& peer, std::span<const std::byte> payload) {
    if (payload.size() < sizeof(shm::SubmitBiasRecord)) return;
    const auto record = load<shm::SubmitBiasRecord>(payload.data());
    const auto slot = flights_.find(peer_index, record.flight);
    if (!slot || flights_[*slot].attempt != record.attempt) return;
    const std::span<const std::byte> entries = payload.subspan(sizeof record);
    const bool sized = entries.size() == uint64_t{record.entries_here} * sizeof(shm::LogitBias);
    go_on(*slot, peer, sized && append_biases(*slot, entries));
}

void Intake::on_cancel(uint32_t peer_index, std::span<const std::byte> payload) {
    if (payload.size() != sizeof(shm::CancelRecord)) return;
    const auto record = load<shm::CancelRecord>(payload.data());
    const auto slot = flights_.find(peer_index, record.flight);
    if (slot && flights_[*slot].attempt == record.attempt) flights_.free(*slot);
}

bool Intake::append_ids(uint32_t slot, std::span<const std::byte> ids) {
    const Flight& flight = flights_[slot];
    if (flight.state != Flight::State::kArriving) return false;
    if (ids.size() / sizeof(uint32_t) > flight.ids_expected - flight.id_count) return false;
    for (size_t at = 0; at < ids.size(); at += sizeof(uint32_t)) {
        const auto id = load<uint32_t>(ids.data() + at);
        if (id >= limits_.vocab) return false;
        flights_.append_id(slot, id);
    }
    return true;
}

bool Intake::append_biases(uint32_t slot, std::span<const std::byte> entries) {
    const Flight& flight = flights_[slot];
    if (flight.state != Flight::State::kArriving) return false;
    if (entries.size() / sizeof(shm::LogitBias) > flight.bias_expected - flight.bias_count) {
        return false;
    }
    for (size_t at = 0; at < entries.size(); at += sizeof(shm::LogitBias)) {
        const auto bias = load<shm::LogitBias>(entries.data() + at);
        if (bias.token >= limits_.vocab || !std::isfinite(bias.bias)) return false;
        flights_.append_bias(slot, bias);
    }
    return true;
}

void Intake::go_on(uint32_t slot, Peer& peer, bool consistent) {
    Flight& flight = flights_[slot];
    if (!consistent) {
        refuse(peer, flight.name, flight.attempt, shm::FailureCode::kBadRecord);
        flights_.free(slot);
    } else if (flight.state == Flight::State::kArriving && flight.is_complete()) {
        flights_.schedule(slot);
    }
}

}  // namespace bitnetd::worker
