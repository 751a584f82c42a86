// A scripted worker for tests of dispatch: records what it was told, publishes what the test says.
// No process, no ring. Owned by the Dispatcher as its WorkerPort; the test keeps a FakeWorkerState.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/dispatch/worker_port.h"

namespace bitnetd::frontend {

struct Assignment {
    uint64_t flight = 0;
    uint32_t attempt = 0;
    std::vector<uint32_t> ids;  // prompt + produced
    uint32_t prompt_count = 0;
    uint32_t position_limit = 0;
    uint64_t seed = 0;
    uint32_t flags = 0;
    uint32_t told_count = 0;  // scores or values that a script published so far
};

// Outlives the port, like a process that was given up and still writes.
struct FakeWorkerState {
    bool ready = true;
    bool garbled = false;
    bool is_behind = false;  // its request ring is full
    bool room = false;       // the next pump() brings it up again
    WorkerLoad load = {};
    std::map<uint64_t, Assignment> running;
    std::vector<Assignment> submissions;
    std::vector<std::pair<uint64_t, uint32_t>> cancels;
    std::set<uint64_t> step_plan;
    std::deque<std::function<void(WorkerEvents&)>> published;  // not yet read

    void publish_token(uint64_t flight, uint32_t attempt, uint32_t position, uint32_t token,
                       shm::Finish finish = shm::Finish::kNone) {
        const shm::TokenRecord record{flight, attempt, position, token,
                                      -0.5f,  finish,  0,        /*step=*/position};
        published.push_back([record](WorkerEvents& events) { events.on_token(record, {}); });
    }
    void publish_started(uint64_t flight, uint32_t attempt, uint64_t now_ns) {
        const shm::StartedRecord record{flight, attempt, 0, now_ns, now_ns};
        published.push_back([record](WorkerEvents& events) { events.on_started(record); });
    }
    // Scores of the prompt from `first` on, without alternatives.
    void publish_scores(uint64_t flight, uint32_t attempt, uint32_t first,
                        const std::vector<float>& logprobs) {
        publish_scores(flight, attempt, first, logprobs,
                       std::vector<std::vector<shm::Alternative>>(logprobs.size()));
    }
    void publish_scores(uint64_t flight, uint32_t attempt, uint32_t first,
                        const std::vector<float>& logprobs,
                        const std::vector<std::vector<shm::Alternative>>& others) {
        const auto count = static_cast<uint32_t>(logprobs.size());
        const shm::PromptScoresRecord record{flight, attempt, first, count, 0};
        std::vector<PromptScore> scores;
        std::vector<shm::Alternative> all;
        for (uint32_t i = 0; i < count; ++i) {
            scores.push_back({logprobs[i], static_cast<uint32_t>(all.size()),
                              static_cast<uint32_t>(others[i].size())});
            all.insert(all.end(), others[i].begin(), others[i].end());
        }
        published.push_back([record, scores, all](WorkerEvents& events) {
            events.on_prompt_scores(record, scores, all);
        });
    }
    void publish_embedding(uint64_t flight, uint32_t attempt, uint32_t first,
                           const std::vector<float>& values, uint32_t value_count) {
        const shm::EmbeddingRecord record{flight, attempt, first,
                                          static_cast<uint32_t>(values.size()), value_count};
        published.push_back(
            [record, values](WorkerEvents& events) { events.on_embedding(record, values); });
    }
    void publish_give_back(uint64_t flight, uint32_t attempt, shm::GiveBackReason reason) {
        const shm::GiveBackRecord record{flight, attempt, reason};
        published.push_back([record](WorkerEvents& events) { events.on_give_back(record); });
    }
    void publish_failed(uint64_t flight, uint32_t attempt, shm::FailureCode code) {
        const shm::FailedRecord record{flight, attempt, code};
        published.push_back([record](WorkerEvents& events) { events.on_failed(record); });
    }
};

class FakeWorker final : public WorkerPort {
  public:
    explicit FakeWorker(std::shared_ptr<FakeWorkerState> state) : state_(std::move(state)) {}

    void submit(const Flight& flight, uint64_t) noexcept override {
        Assignment work{flight.id,
                        flight.attempt,
                        *flight.spec.prompt,
                        flight.prompt_count(),
                        flight.spec.position_limit,
                        flight.spec.seed,
                        flight.flags()};
        work.ids.insert(work.ids.end(), flight.produced.begin(), flight.produced.end());
        state_->submissions.push_back(work);
        state_->running[flight.id] = std::move(work);
    }
    void cancel(uint64_t flight, uint32_t attempt) noexcept override {
        state_->cancels.emplace_back(flight, attempt);
        state_->running.erase(flight);
    }
    bool drain(WorkerEvents& events) noexcept override {
        while (!state_->published.empty()) {
            auto record = std::move(state_->published.front());
            state_->published.pop_front();
            record(events);
        }
        return !state_->garbled;
    }
    bool has_records() noexcept override { return !state_->published.empty(); }
    void pump() noexcept override {
        if (state_->room) state_->is_behind = false;
    }
    bool is_behind() const noexcept override { return state_->is_behind; }
    bool is_ready() const noexcept override { return state_->ready; }
    WorkerLoad load() const noexcept override { return state_->load; }
    bool is_in_step_plan(uint64_t flight) const noexcept override {
        return state_->step_plan.contains(flight);
    }

  private:
    std::shared_ptr<FakeWorkerState> state_;
};

// What a flight's owner sees.
struct RecordingSink final : FlightSink {
    std::vector<uint32_t> ids;
    std::vector<uint32_t> scored_ids;
    std::vector<float> scores;  // their logprobs
    std::vector<float> values;
    size_t ids_before_scores = 0;  // told out of order: stays 0
    std::vector<EndReason> ends;
    size_t starts = 0;
    size_t batches = 0;
    std::function<void()> on_batch;  // called within on_tokens

    void on_started(const FlightStart&) noexcept override { ++starts; }
    void on_tokens(const TokenBatch& batch) noexcept override {
        ++batches;
        for (const Token& token : batch.tokens)
            ids.push_back(token.id);
        if (on_batch) on_batch();
    }
    void on_prompt_scores(const TokenBatch& batch) noexcept override {
        ids_before_scores += ids.size();
        for (const Token& token : batch.tokens) {
            scored_ids.push_back(token.id);
            scores.push_back(token.logprob);
        }
    }
    void on_embedding(std::span<const float> fresh) noexcept override {
        values.insert(values.end(), fresh.begin(), fresh.end());
    }
    void on_end(EndReason reason) noexcept override { ends.push_back(reason); }
};

// A board of one's own, in plain memory.
class TestBoard {
  public:
    TestBoard() {
        if (!shm::init_board(memory(), {shm::Role::kFrontend, 0, 1, ""}).ok()) std::abort();
        auto writer = shm::BoardWriter::open(memory());
        if (!writer.ok()) std::abort();
        writer_ = std::move(*writer);
    }
    shm::BoardWriter& writer() { return *writer_; }
    std::span<const std::byte> view() { return memory(); }
    uint64_t counter(Counter counter) {
        return board_->counters[static_cast<size_t>(counter)].load();
    }
    uint64_t gauge(Gauge gauge) { return board_->gauges[static_cast<size_t>(gauge)].load(); }

  private:
    std::span<std::byte> memory() {
        return {reinterpret_cast<std::byte*>(board_.get()), sizeof(shm::Board)};
    }
    std::unique_ptr<shm::Board> board_ = std::make_unique<shm::Board>();
    std::optional<shm::BoardWriter> writer_;
};

inline FlightSpec make_spec(std::vector<uint32_t> prompt, uint32_t position_limit) {
    FlightSpec spec;
    spec.model_key = 1;
    spec.vocab = 1000;
    spec.prompt = std::make_shared<const std::vector<uint32_t>>(std::move(prompt));
    spec.position_limit = position_limit;
    return spec;
}

// Only the prompt is scored, or a few tokens are drawn behind it.
inline FlightSpec make_scored_spec(std::vector<uint32_t> prompt, uint32_t drawn_count = 0) {
    const auto prompt_count = static_cast<uint32_t>(prompt.size());
    FlightSpec spec = make_spec(std::move(prompt), prompt_count + drawn_count);
    spec.flags = shm::kScorePrompt;
    return spec;
}

inline FlightSpec make_embedding_spec(std::vector<uint32_t> prompt, uint32_t value_count) {
    FlightSpec spec = make_scored_spec(std::move(prompt));
    spec.flags = shm::kWantEmbedding;
    spec.embedding_values = value_count;
    return spec;
}

}  // namespace bitnetd::frontend
