#include "worker/loop/publisher.h"

#include <algorithm>

#include "common/base/check.h"

namespace bitnetd::worker {
namespace {

bool publish_started(const Flight& flight, Peer& peer) {
    const shm::StartedRecord record = {.flight = flight.name,
                                       .attempt = flight.attempt,
                                       .cached_count = 0,
                                       .admitted_ns = flight.admitted_ns,
                                       .prefill_done_ns = flight.prefill_done_ns};
    return peer.publish(shm::RecordType::kStarted, shm::bytes_of(record));
}

// The first of its tokens that is due.
bool publish_token(const Flight& flight, Peer& peer, std::span<const uint32_t> end_ids) {
    const uint32_t position = flight.id_count - flight.drawn_count + flight.published_count;
    const Drawn& drawn = flight.drawn[flight.published_count];
    const Scores& scores = drawn.scores;
    const bool scored = flight.sampling.wants_logprobs;
    const uint32_t count = scored ? scores.alternatives_count : 0;
    const shm::TokenRecord record = {.flight = flight.name,
                                     .attempt = flight.attempt,
                                     .position = position,
                                     .token = drawn.token,
                                     .logprob = scored ? scores.logprob : 0,
                                     .finish = finish_of(flight, drawn.token, position, end_ids),
                                     .alternatives_count = static_cast<uint16_t>(count),
                                     .reserved = 0};
    return peer.publish(shm::RecordType::kToken, shm::bytes_of(record),
                        std::as_bytes(std::span(scores.alternatives).first(count)));
}

bool publish_failure(const Flight& flight, Peer& peer) {
    const shm::FailedRecord record = {flight.name, flight.attempt, flight.failure};
    return peer.publish(shm::RecordType::kFailed, shm::bytes_of(record));
}

}  // namespace

shm::Finish finish_of(const Flight& flight, uint32_t token, uint32_t position,
                      std::span<const uint32_t> end_ids) noexcept {
    if (std::find(end_ids.begin(), end_ids.end(), token) != end_ids.end()) {
        return shm::Finish::kEndOfGeneration;
    }
    return position + 1 == flight.position_limit ? shm::Finish::kLength : shm::Finish::kNone;
}

bool publish_due(Flight& flight, Peer& peer, std::span<const uint32_t> end_ids) noexcept {
    if (flight.started_due) flight.started_due = !publish_started(flight, peer);
    if (flight.started_due) return false;
    while (flight.has_tokens_due()) {
        if (!publish_token(flight, peer, end_ids)) return false;
        ++flight.published_count;
    }
    if (flight.failure_due) flight.failure_due = !publish_failure(flight, peer);
    return !flight.failure_due;
}

void give_back(Peer& peer, uint64_t flight, uint32_t attempt, shm::GiveBackReason reason) noexcept {
    const shm::GiveBackRecord record = {flight, attempt, reason};
    peer.publish(shm::RecordType::kGiveBack, shm::bytes_of(record));
}

void refuse(Peer& peer, uint64_t flight, uint32_t attempt, shm::FailureCode code) noexcept {
    const shm::FailedRecord record = {flight, attempt, code};
    peer.publish(shm::RecordType::kFailed, shm::bytes_of(record));
}

}  // namespace bitnetd::worker
