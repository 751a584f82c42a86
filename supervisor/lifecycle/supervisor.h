// The supervisor: owns everything that outlives a child (listening sockets, shared memory, the
// child table) and decides what happens when one starts, speaks, hangs or dies. One libuv loop, one
// thread.
//
// This class only connects the parts: policies without a clock of their own (restart_policy,
// child_life, hang_judge, shutdown, health), processes (child, spawn), shared memory (process,
// ring_pairs, segment_archive), models (model_store).
#pragma once

#include <uv.h>

#include <memory>
#include <vector>

#include "supervisor/lifecycle/health.h"
#include "supervisor/lifecycle/model/model_store.h"
#include "supervisor/lifecycle/process/child_table.h"
#include "supervisor/lifecycle/process/executables.h"
#include "supervisor/lifecycle/process/hang_judge.h"
#include "supervisor/lifecycle/process/ring_pairs.h"
#include "supervisor/lifecycle/process/segment_archive.h"
#include "supervisor/lifecycle/settings/listeners.h"
#include "supervisor/lifecycle/shutdown.h"

namespace bitnetd::supervisor {

class Supervisor final : private ChildOwner, private ModelStoreOwner {
  public:
    // `started_ns`: when bitnetd began, for the log's "ready after".
    Supervisor(uv_loop_t* loop, Settings settings, Executables programs, Listeners listeners,
               uint64_t started_ns);

    // Starts the frontends, then the first loader; workers follow when their model is loaded.
    Result<void> start();

    void on_terminate();  // TERM, INT: drain, then stop; the second one stops now
    void on_quit();       // QUIT: stop now

    // Nothing runs any more: the loop may end, with this exit code.
    bool done() const { return shutdown_.phase() == ShutdownPhase::kDone; }
    int exit_code() const { return exit_code_; }

    // Every segment, live and kept, for bitnet-shmdump.
    std::vector<InspectEntry> inspect() const;

  private:
    // supervisor.cc: time and the end
    void on_tick();
    void run_due();
    void arm_deadline();
    void enter_shutdown_phase();
    void count_the_living();
    void update_health();
    void note_ready();

    // supervisor_start.cc: making processes
    void start_due(Slot& slot, uint64_t now_ns);
    Result<void> start_process(Slot& slot);
    SpawnPlan spawn_plan(const Slot& slot) const;
    void send_setup(Slot& slot, Process& process);
    void announce_board(const Slot& slot);
    void prepare_workers(size_t model_index);
    Result<void> make_kv_arena(Slot& slot);

    // supervisor_events.cc: what children say and how they end
    void on_message(Child& child, shm::Message& message) override;
    void on_condemned(Child& child) override;
    void on_exit(Child& child, const ChildExit& exit) override;
    Result<void> take_ready(Slot& slot, const shm::Message& message);
    void introduce(Process& process);
    void fence(Process& process, shm::PeerEnd end);
    void bury(Slot& slot, const Verdict& verdict);
    void check_hangs();
    void on_model_loaded(size_t model_index) override;
    void on_model_refused(size_t model_index) override;
    void on_models_settled() override;

    uv_loop_t* loop_;
    Settings settings_;
    Executables programs_;
    Listeners listeners_;
    uint64_t started_ns_;
    ChildTable table_;
    RingPairs rings_;
    SegmentArchive archive_;
    Shutdown shutdown_;
    HangJudge hang_judge_;
    OomCounter oom_;
    BoardHold own_board_;
    std::unique_ptr<ModelStore> models_;
    std::unique_ptr<Timer> tick_timer_;
    std::unique_ptr<Timer> deadline_timer_;
    shm::HealthMessage health_told_{};
    uint64_t next_incarnation_ = 1;
    bool was_ready_ = false;
    int exit_code_ = 0;
};

}  // namespace bitnetd::supervisor
