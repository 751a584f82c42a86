#include "worker/loop/publisher.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace bitnetd::worker {
namespace {

bool publish_started(const Flight& flight, Peer& peer) {
    const shm::StartedRecord record = {.flight = flight.name,
                                       .attempt = flight.attempt,
                                       .cached_count = flight.cached_count,
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
                                     .step = flight.drawn_step};
    return peer.publish(shm::RecordType::kToken, shm::bytes_of(record),
                        std::as_bytes(std::span(scores.alternatives).first(count)));
}

// The scores that come next, as many as fit a record; returns how many, 0 when it did not fit.
uint32_t publish_scores(const Flight& flight, Peer& peer) {
    constexpr size_t kEntryBytesMax = 8 + shm::kLogprobsMax * sizeof(shm::Alternative);
    std::array<std::byte, kResultRowsMax * kEntryBytesMax> entries;
    const PromptResults& results = flight.results;
    const size_t room = peer.payload_bytes_max() - sizeof(shm::PromptScoresRecord);
    size_t bytes = 0;
    uint32_t count = 0;
    for (uint32_t i = results.scores_published; i < results.score_count; ++i, ++count) {
        const Scores& scores = results.scores[i].scores;
        const size_t alternatives = scores.alternatives_count * sizeof(shm::Alternative);
        if (bytes + 8 + alternatives > room) break;
        std::memcpy(entries.data() + bytes, &scores.logprob, 4);
        std::memcpy(entries.data() + bytes + 4, &scores.alternatives_count, 4);
        std::memcpy(entries.data() + bytes + 8, scores.alternatives, alternatives);
        bytes += 8 + alternatives;
    }
    const shm::PromptScoresRecord record = {.flight = flight.name,
                                            .attempt = flight.attempt,
                                            .first_position = results.score_position,
                                            .count = count,
                                            .reserved = 0};
    const bool fits = peer.publish(shm::RecordType::kPromptScores, shm::bytes_of(record),
                                   std::span(entries).first(bytes));
    return fits ? count : 0;
}

// The values that come next, likewise.
uint32_t publish_embedding(const Flight& flight, Peer& peer) {
    const PromptResults& results = flight.results;
    const size_t room = peer.payload_bytes_max() - sizeof(shm::EmbeddingRecord);
    const auto left = std::span(results.embedding)
                          .first(results.embedding_count)
                          .subspan(results.embedding_published);
    const auto here = left.first(std::min(room / sizeof(float), left.size()));
    const shm::EmbeddingRecord record = {.flight = flight.name,
                                         .attempt = flight.attempt,
                                         .first_value = results.embedding_published,
                                         .count = static_cast<uint32_t>(here.size()),
                                         .value_count = results.embedding_count};
    const bool fits =
        peer.publish(shm::RecordType::kEmbedding, shm::bytes_of(record), std::as_bytes(here));
    return fits ? record.count : 0;
}

// An empty record says that a prompt of one id has no scores.
bool publish_no_scores(const Flight& flight, Peer& peer) {
    const shm::PromptScoresRecord record = {.flight = flight.name,
                                            .attempt = flight.attempt,
                                            .first_position = 1,
                                            .count = 0,
                                            .reserved = 0};
    return peer.publish(shm::RecordType::kPromptScores, shm::bytes_of(record));
}

bool publish_results(Flight& flight, Peer& peer) {
    PromptResults& results = flight.results;
    if (results.has_none_due) results.has_none_due = !publish_no_scores(flight, peer);
    while (results.scores_published < results.score_count) {
        const uint32_t count = publish_scores(flight, peer);
        if (count == 0) return false;
        results.score_position += count;
        results.scores_published += count;
    }
    while (results.embedding_published < results.embedding_count) {
        const uint32_t count = publish_embedding(flight, peer);
        if (count == 0) return false;
        results.embedding_published += count;
    }
    return !results.has_none_due;
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
    if (flight.started_due || !publish_results(flight, peer)) return false;
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
