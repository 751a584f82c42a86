#include "supervisor/frontend/dispatch/worker_link.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "common/base/bytes.h"

namespace bitnetd::frontend {
namespace {

constexpr size_t kScoreHeadBytes = sizeof(float) + sizeof(uint32_t);  // logprob, alternatives_count
constexpr uint32_t kEmbeddingValuesMax = 65'536;                      // the largest hidden size

template <typename Record>
bool deliver_plain(std::span<const std::byte> payload, WorkerEvents& events,
                   void (WorkerEvents::*event)(const Record&) noexcept) {
    if (payload.size() != sizeof(Record)) return false;
    (events.*event)(load<Record>(payload.data()));
    return true;
}

bool deliver_token(std::span<const std::byte> payload, WorkerEvents& events) {
    if (payload.size() < sizeof(shm::TokenRecord)) return false;
    const auto record = load<shm::TokenRecord>(payload.data());
    const size_t count = record.alternatives_count;
    if (count > shm::kLogprobsMax || record.finish > shm::Finish::kLength) return false;
    if (payload.size() != sizeof record + count * sizeof(shm::Alternative)) return false;
    std::array<shm::Alternative, shm::kLogprobsMax> alternatives;
    std::memcpy(alternatives.data(), payload.data() + sizeof record,
                count * sizeof(shm::Alternative));
    events.on_token(record, std::span(alternatives).first(count));
    return true;
}

// Every entry has a size of its own: they are read one behind the other, to the last byte.
bool deliver_prompt_scores(std::span<const std::byte> payload, WorkerEvents& events) {
    if (payload.size() < sizeof(shm::PromptScoresRecord)) return false;
    const auto record = load<shm::PromptScoresRecord>(payload.data());
    std::span<const std::byte> left = payload.subspan(sizeof record);
    if (record.count > left.size() / kScoreHeadBytes) return false;
    std::vector<PromptScore> scores(record.count);
    std::vector<shm::Alternative> alternatives;
    for (PromptScore& score : scores) {
        if (left.size() < kScoreHeadBytes) return false;
        score.logprob = load<float>(left.data());
        score.alternatives_first = static_cast<uint32_t>(alternatives.size());
        score.alternatives_count = load<uint32_t>(left.data() + sizeof(float));
        left = left.subspan(kScoreHeadBytes);
        const size_t bytes = size_t{score.alternatives_count} * sizeof(shm::Alternative);
        if (score.alternatives_count > shm::kLogprobsMax || left.size() < bytes) return false;
        alternatives.resize(alternatives.size() + score.alternatives_count);
        if (bytes > 0) {
            std::memcpy(alternatives.data() + score.alternatives_first, left.data(), bytes);
        }
        left = left.subspan(bytes);
    }
    if (!left.empty()) return false;
    events.on_prompt_scores(record, scores, alternatives);
    return true;
}

bool deliver_embedding(std::span<const std::byte> payload, WorkerEvents& events) {
    if (payload.size() < sizeof(shm::EmbeddingRecord)) return false;
    const auto record = load<shm::EmbeddingRecord>(payload.data());
    if (record.count == 0 || record.value_count > kEmbeddingValuesMax) return false;
    if (uint64_t{record.first_value} + record.count > record.value_count) return false;
    std::vector<float> values(record.count);
    if (payload.size() != sizeof record + values.size() * sizeof(float)) return false;
    std::memcpy(values.data(), payload.data() + sizeof record, values.size() * sizeof(float));
    events.on_embedding(record, values);
    return true;
}

}  // namespace

bool deliver_record(shm::RecordType type, std::span<const std::byte> payload,
                    WorkerEvents& events) {
    switch (type) {
        case shm::RecordType::kToken:
            return deliver_token(payload, events);
        case shm::RecordType::kStarted:
            return deliver_plain(payload, events, &WorkerEvents::on_started);
        case shm::RecordType::kGiveBack:
            return deliver_plain(payload, events, &WorkerEvents::on_give_back);
        case shm::RecordType::kFailed:
            return deliver_plain(payload, events, &WorkerEvents::on_failed);
        case shm::RecordType::kPromptScores:
            return deliver_prompt_scores(payload, events);
        case shm::RecordType::kEmbedding:
            return deliver_embedding(payload, events);
        default:
            return false;
    }
}

Result<std::unique_ptr<WorkerLink>> WorkerLink::open(shm::Message peer, uint64_t own_incarnation) {
    BITNETD_TRY(peer.expect_fds(4));
    std::unique_ptr<WorkerLink> link(new WorkerLink(own_incarnation));
    BITNETD_ASSIGN(link->requests_, shm::Segment::map(peer.fds[0].get(), shm::Access::kReadWrite));
    BITNETD_ASSIGN(link->tokens_, shm::Segment::map(peer.fds[1].get(), shm::Access::kReadWrite));
    BITNETD_ASSIGN(link->board_segment_, shm::Segment::map(peer.fds[3].get(), shm::Access::kRead));
    BITNETD_ASSIGN(link->writer_, shm::RingWriter::open(link->requests_));
    BITNETD_ASSIGN(link->reader_, shm::RingReader::open(link->tokens_));
    BITNETD_ASSIGN(link->board_, shm::BoardView::open(link->board_segment_));
    link->doorbell_ = shm::Doorbell::for_producer(std::move(peer.fds[2]), link->board_->sleeping());
    return link;
}

void WorkerLink::submit(const Flight& flight, uint64_t now_ns) noexcept {
    for (OutRecord& record : encode_submission(flight, now_ns, writer_->max_payload_bytes())) {
        send(std::move(record));
    }
    doorbell_->ring_if_sleeping();
}

void WorkerLink::cancel(uint64_t flight, uint32_t attempt) noexcept {
    send(encode_cancel(flight, attempt));
    doorbell_->ring_if_sleeping();
}

void WorkerLink::send(OutRecord record) noexcept {
    if (kept_.empty() && writer_->try_publish(record.type, record.payload)) return;
    kept_.push_back(std::move(record));
}

void WorkerLink::pump() noexcept {
    bool published = false;
    while (!kept_.empty() && writer_->try_publish(kept_.front().type, kept_.front().payload)) {
        kept_.pop_front();
        published = true;
    }
    if (published) doorbell_->ring_if_sleeping();
}

bool WorkerLink::drain(WorkerEvents& events) noexcept {
    bool as_agreed = true;
    const auto count = reader_->drain(
        [&events, &as_agreed](shm::RecordType type, std::span<const std::byte> payload) noexcept {
            as_agreed = as_agreed && deliver_record(type, payload, events);
        });
    return count.ok() && as_agreed && !writer_->retired();
}

bool WorkerLink::is_ready() const noexcept {
    return board_->state() == shm::ProcessState::kReady;
}

WorkerLoad WorkerLink::load() const noexcept {
    const shm::WorkerSnapshot worker = board_->worker();
    return {.decode_ns = worker.decode_ns,
            .row_ns = worker.prefill_token_ns,
            .page_tokens = worker.page_tokens,
            .pages_total = board_->gauge(Gauge::kKvPagesTotal),
            .pages_used = board_->gauge(Gauge::kKvPagesUsed)};
}

bool WorkerLink::is_in_step_plan(uint64_t flight) const noexcept {
    const auto plan = board_->step_plan();
    if (!plan) return false;  // went from step to step under our eyes: not hung in one
    return std::any_of(plan->begin(), plan->end(), [this, flight](const shm::StepFlight& entry) {
        return entry.frontend_incarnation == own_incarnation_ && entry.flight == flight;
    });
}

}  // namespace bitnetd::frontend
