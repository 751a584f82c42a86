// The step loop of a worker: take -> schedule -> forward and sample -> publish. One thread does all
// of it; the engine's thread pool joins in for forward and sample. This folder owns how a worker
// talks to frontends and the supervisor; it knows nothing of the model's inside.
//
//   request rings -> Intake -> FlightTable + Scheduler -> Engine -> publisher -> token rings
//
// Control messages are read between steps from the non-blocking control socket, at most every few
// milliseconds while busy: adding or removing a frontend must happen between steps anyway, so a
// thread of its own would only have to wait for this one. The loop allocates nothing once a
// frontend is mapped, but for what scores and embeddings need when they are taken in. If we die
// anywhere, what was published is true, and the frontends dispatch the rest again.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "common/config/exit_codes.h"
#include "shm/board/board.h"
#include "shm/board/supervisor_watch.h"
#include "shm/control/channel.h"
#include "shm/ring/doorbell.h"
#include "worker/kv/kv_cache.h"
#include "worker/loop/flight_table.h"
#include "worker/loop/intake.h"
#include "worker/loop/peer_table.h"
#include "worker/loop/rate_meter.h"
#include "worker/model/engine.h"
#include "worker/speculation/draft_planner.h"

namespace bitnetd::worker {

class StepLoop {
  public:
    struct Settings {
        uint32_t vocab;
        uint32_t hidden;
        shm::Pooling pooling;
        // Of one sequence here: what the model, the settings and the pages allow.
        uint32_t context_max;
        uint32_t slots_max;
        uint32_t step_tokens_max;
        std::vector<uint32_t> end_ids;
        uint64_t heartbeat_interval_ms;
        uint64_t drain_timeout_ms;   // how long we go on without a supervisor
        uint64_t orphan_timeout_ms;  // without a sign of it there is none
        SpeculationSettings speculation = {};
    };
    // All of them outlive the loop.
    struct Parts {
        Engine& engine;
        KvCache& cache;
        shm::BoardWriter& board;
        shm::Doorbell& doorbell;
        shm::Channel& control;
    };

    StepLoop(const Settings& settings, const Parts& parts);

    // Serves until drained; the process then ends with the code returned.
    ExitCode run();

    // One turn without waiting: control messages, requests, one step, records. False when there was
    // nothing to compute. run() is turns and sleeps; tests call it themselves.
    bool turn();

    // Whether a full token ring holds something up: a record, or requests that could not be
    // answered.
    bool waits_for_room();

    // Set once it is time to end.
    bool is_done() const { return done_; }
    ExitCode exit_code() const { return exit_code_; }

    // The same as kDrain, heard at the next turn. Async-signal-safe.
    void ask_to_drain() noexcept { drain_asked_.store(true, std::memory_order_relaxed); }

    // A control message that came before the loop ran.
    void on_message(shm::Message message);

  private:
    void read_control();
    void add_peer(shm::Message message);
    void keep_peers(const shm::Message& message);
    void drop_peer(uint32_t index);
    void drop_broken_peer(uint32_t index);
    void reopen_logs(const shm::Message& message);
    void drain(const char* reason);
    void become_orphan(const char* reason);
    void end(ExitCode code);
    void check_end(uint64_t now_ns);

    void take_requests();
    void publish_all();
    void publish(uint32_t slot);
    void ring_bells();

    bool step();
    uint32_t prompt_rows_max() const;
    void admit(const Plan& plan);
    void add_drafts(Plan& plan);
    void build_step(const Plan& plan);
    void build_draws(const PlanEntry& entry);
    void compute(const Plan& plan);
    void settle(const Plan& plan, uint64_t now_ns);
    void take_tokens(const PlanEntry& entry);
    bool take_token(const PlanEntry& entry, uint32_t row);
    void build_scores(const PlanEntry& entry, uint32_t first_row);
    bool take_prompt(const PlanEntry& entry, uint32_t first_row, uint64_t now_ns);
    void check_scores(uint32_t slot);
    void pool(const PlanEntry& entry, uint32_t first_row);
    void fail(uint32_t slot);
    void note_step(const Plan& plan, uint64_t took_ns);

    void sleep();
    bool has_requests(bool answerable);

    const Settings settings_;
    Engine& engine_;
    KvCache& cache_;
    shm::BoardWriter& board_;
    shm::Doorbell& doorbell_;
    shm::Channel& control_;
    Scheduler scheduler_;
    FlightTable flights_;
    PeerTable peers_;
    Intake intake_;
    RateMeter rates_;
    DraftPlanner drafts_;

    // The step being made; capacity reserved once.
    std::vector<Row> rows_;
    std::vector<Draw> draws_;
    std::vector<shm::StepFlight> step_flights_;

    uint32_t steps_ = 0;  // computed, modulo 2^32
    uint64_t control_read_ns_ = 0;
    shm::SupervisorWatch supervisor_;
    uint64_t orphaned_until_ns_ = 0;  // 0: we have a supervisor
    std::atomic<bool> drain_asked_{false};
    bool draining_ = false;
    bool done_ = false;
    ExitCode exit_code_ = kExitOk;
};

}  // namespace bitnetd::worker
