// The border between dispatch's decisions (dispatcher.h) and one worker incarnation: WorkerLink
// over real rings in production, a scripted worker in tests/sim. Loop thread only.
#pragma once

#include <cstdint>
#include <span>

#include "shm/abi/records.h"
#include "supervisor/frontend/dispatch/flight.h"
#include "supervisor/frontend/dispatch/worker_load.h"

namespace bitnetd::frontend {

// One entry of a prompt-scores record; its alternatives are among those of the whole record.
struct PromptScore {
    float logprob = 0;
    uint32_t alternatives_first = 0;
    uint32_t alternatives_count = 0;  // <= shm::kLogprobsMax
};

// Receives what a worker published, record by record, sizes and counts already checked.
class WorkerEvents {
  public:
    virtual ~WorkerEvents() = default;
    virtual void on_started(const shm::StartedRecord& record) noexcept = 0;
    virtual void on_token(const shm::TokenRecord& record,
                          std::span<const shm::Alternative> alternatives) noexcept = 0;
    // record.count scores.
    virtual void on_prompt_scores(const shm::PromptScoresRecord& record,
                                  std::span<const PromptScore> scores,
                                  std::span<const shm::Alternative> alternatives) noexcept = 0;
    // record.count values, of which first_value + count are within value_count.
    virtual void on_embedding(const shm::EmbeddingRecord& record,
                              std::span<const float> values) noexcept = 0;
    virtual void on_give_back(const shm::GiveBackRecord& record) noexcept = 0;
    virtual void on_failed(const shm::FailedRecord& record) noexcept = 0;
};

class WorkerPort {
  public:
    virtual ~WorkerPort() = default;

    // Sends flight.attempt of the flight: prompt + produced. What does not fit the ring now is kept
    // and sent by pump(), in order.
    virtual void submit(const Flight& flight, uint64_t now_ns) noexcept = 0;
    virtual void cancel(uint64_t flight, uint32_t attempt) noexcept = 0;

    // Hands over every record published so far. False: the ring's content is not as agreed; nothing
    // of this worker can be believed any more.
    virtual bool drain(WorkerEvents& events) noexcept = 0;
    // Whether drain() would find something.
    virtual bool has_records() noexcept = 0;

    // Sends what was kept back, as far as it fits. The worker does not ring when its ring gets
    // room: to be called again soon while it is behind.
    virtual void pump() noexcept = 0;
    // Something is still kept. A worker that is behind gets no further flight, so that what is kept
    // is bounded: the rest of one submission, and a cancel of each flight that the worker has.
    virtual bool is_behind() const noexcept = 0;

    virtual bool is_ready() const noexcept = 0;
    // As its board says now.
    virtual WorkerLoad load() const noexcept = 0;
    // Was the flight part of the last step that the worker noted on its board?
    virtual bool is_in_step_plan(uint64_t flight) const noexcept = 0;
};

}  // namespace bitnetd::frontend
