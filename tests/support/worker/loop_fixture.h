// A worker's loop and the frontends it serves, in one process and one thread: real segments, rings,
// boards and doorbells, a real engine on a small random model. The test plays frontend and
// supervisor and calls turn() itself, so that nothing depends on timing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "shm/abi/records.h"
#include "tests/support/worker/tiny_model.h"
#include "worker/loop/step_loop.h"
#include "worker/model/transformer_engine.h"

namespace bitnetd::worker::test {

struct Score {
    float logprob = 0;
    std::vector<shm::Alternative> alternatives;
};

// What a frontend has heard of one flight.
struct Heard {
    std::vector<shm::TokenRecord> tokens;
    std::vector<std::vector<shm::Alternative>> alternatives;  // of each token
    std::vector<shm::StartedRecord> started;
    std::vector<shm::GiveBackReason> given_back;
    std::vector<shm::FailureCode> failed;
    std::vector<Score> prompt_scores;  // of position 1 and on
    std::vector<float> embedding;
    bool has_all_scores = false;
    bool has_all_values = false;
    bool draws_tokens = true;  // as submitted

    std::vector<uint32_t> ids() const;
    std::vector<float> logprobs() const;
    bool is_finished() const;
};

struct Request {
    uint64_t flight = 1;
    uint32_t attempt = 1;
    std::vector<uint32_t> ids = {1, 2, 3};
    uint32_t prompt_count = 0;  // 0: all of ids
    uint32_t new_tokens = 8;    // 0: the flight ends with what `flags` want of the prompt
    uint32_t flags = 0;         // kScorePrompt or kWantEmbedding; others follow from the rest
    SamplingParams sampling = {.seed = 7, .wants_logprobs = true};
    std::vector<shm::LogitBias> bias = {};
    Priority priority = Priority::kNormal;

    shm::SubmitRecord record() const;
};

class FakeFrontend {
  public:
    FakeFrontend(uint64_t incarnation, uint64_t ring_bytes = 1 << 16);

    // The kPeer message that introduces this frontend to a worker.
    shm::Message introduction(uint32_t credits = 64);

    // Sends the request in records of at most `ids_per_record` ids.
    void submit(const Request& request, size_t ids_per_record = SIZE_MAX);
    // In two parts: the first `ids_here` ids, and those from `from` on.
    void begin(const Request& request, size_t ids_here);
    void go_on(const Request& request, size_t from, size_t ids_per_record = SIZE_MAX);
    void cancel(uint64_t flight, uint32_t attempt = 1);
    bool send(shm::RecordType type, std::span<const std::byte> payload);
    bool send(shm::RecordType type, std::span<const std::byte> head, std::span<const uint32_t> ids);

    // Takes in what the worker has published, at most `records_max` records.
    void listen(size_t records_max = SIZE_MAX);
    const Heard& heard(uint64_t flight) { return heard_[flight]; }
    std::span<std::byte> request_ring() { return request_segment_.mutable_view(); }
    std::span<std::byte> token_ring() { return token_segment_.mutable_view(); }
    shm::BoardWriter& board() { return *board_; }
    bool bell_rang() const;

  private:
    uint64_t incarnation_;
    shm::Segment request_segment_, token_segment_, board_segment_;
    Fd request_fd_, token_fd_, bell_fd_, board_fd_;
    std::unique_ptr<shm::RingWriter> requests_;
    std::unique_ptr<shm::RingReader> tokens_;
    std::unique_ptr<shm::BoardWriter> board_;
    void take_scores(std::span<const std::byte> payload);
    void take_embedding(std::span<const std::byte> payload);

    std::map<uint64_t, Heard> heard_;
    std::map<uint64_t, uint32_t> prompt_counts_;  // by flight
};

class LoopFixture {
  public:
    struct Options {
        uint32_t step_tokens_max = 64;
        uint32_t slots_max = 32;
        uint32_t pages = 0;  // 0: enough for all slots
        int threads = 1;
        KvType kv_type = KvType::kF32;
        std::vector<uint32_t> end_ids = {};
        uint64_t drain_timeout_ms = 600'000;
        Engine* engine = nullptr;  // null: the transformer
        SpeculationSettings speculation = {};
        std::span<const std::byte> weights = {};  // empty: those of model()
    };

    explicit LoopFixture(const Options& options);
    LoopFixture() : LoopFixture(Options{}) {}

    static const TinyModel& model();
    static std::vector<uint32_t> prompt(uint32_t count, uint64_t seed);

    void connect(FakeFrontend& frontend, uint32_t credits = 64);
    // Turns until nothing is left to compute, listening after each.
    void settle(std::initializer_list<FakeFrontend*> frontends);

    StepLoop& loop() { return *loop_; }
    shm::BoardView board() const { return shm::BoardView::open(board_segment_).value(); }
    // The supervisor's end of the control socket.
    Fd& supervisor() { return supervisor_; }
    shm::Doorbell& doorbell() { return *doorbell_; }
    KvCache& cache() { return *cache_; }

  private:
    WeightsView weights_;
    KvLayout layout_;
    AlignedArray<std::byte> arena_;
    std::unique_ptr<KvCache> cache_;
    std::unique_ptr<ThreadPool> pool_;
    std::unique_ptr<Engine> engine_;
    shm::Segment board_segment_;
    std::unique_ptr<shm::BoardWriter> board_;
    std::unique_ptr<shm::Doorbell> doorbell_;
    Fd supervisor_;
    std::unique_ptr<shm::Channel> control_;
    std::unique_ptr<StepLoop> loop_;
};

}  // namespace bitnetd::worker::test
