// The fleet: all frontends and workers, from their start to their burial. It starts processes in
// slots, introduces those that are ready to each other, fences and replaces those that die, and
// retires those that are told to go. Which slots there should be is its owner's business.
//
// Supervisor process, its loop.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/lifecycle/handover/handover_list.h"
#include "supervisor/lifecycle/handover/inherited.h"
#include "supervisor/lifecycle/handover/snapshot.h"
#include "supervisor/lifecycle/model/model_store.h"
#include "supervisor/lifecycle/process/child_table.h"
#include "supervisor/lifecycle/process/hang_judge.h"
#include "supervisor/lifecycle/process/ring_pairs.h"
#include "supervisor/lifecycle/process/segment_archive.h"

namespace bitnetd::supervisor {

class FleetOwner {
  public:
    // A process said READY and has been introduced.
    virtual void on_process_ready(Slot& slot) = 0;
    // A process is gone, or could not be started. What becomes of the slot is decided already: it
    // waits for its restart, or is vacant.
    virtual void on_process_gone(Slot& slot, const Verdict& verdict) = 0;
    // Anything but READY. An error condemns the frontend.
    virtual Result<void> on_frontend_message(Process& frontend, shm::Message& message) = 0;
    // What a new frontend of this build must know beside the boards, before kStart.
    virtual void send_frontend_setup(Child& frontend, const Build& build) = 0;
    // What children are to log now, whatever their build says.
    virtual const std::string& log_level() const = 0;
    // Whether children outlive us: a successor will adopt them.
    virtual bool outlived_by_children() const = 0;
    // Whether a dead process of this role gets a successor.
    virtual bool replaces(shm::Role role) const = 0;
    // The model a worker is to compute; null: it is gone.
    virtual const Model* model_of(uint64_t key) const = 0;
    // Something is about to be told to a child that must survive this process.
    virtual void save_state() = 0;
    // A deadline changed.
    virtual void on_fleet_changed() = 0;

  protected:
    ~FleetOwner() = default;
};

class Fleet final : private ChildOwner {
  public:
    Fleet(uv_loop_t* loop, const Params& params, FleetOwner& owner);

    // The supervisor's own board: made first, shown to every frontend.
    Result<void> make_own_board(uint64_t started_ns);
    BoardHold& own_board() { return own_board_; }
    const BoardHold& own_board() const { return own_board_; }

    // Of `count` shares of the cores one for a CPU worker that is to come: that which the workers
    // who serve and do not leave need least.
    using Leaves = std::function<bool(const Slot&)>;
    CoreShare free_share(uint32_t count, const Leaves& leaves) const;
    // A vacant slot of this role or a new one; the caller fills in what a worker needs and starts.
    Slot& open_slot(shm::Role role, std::shared_ptr<const Build> build);
    // Starts a process there now; when the machine refuses, again after a pause.
    void start(Slot& slot);
    // Its process finishes what it has until the deadline; then the slot is vacant. A slot without
    // a process is vacant at once.
    void retire(Slot& slot, uint64_t deadline_ns);
    // The canary becomes a worker like any other, now and for its successors.
    void promote(Slot& slot);

    // For the end of the server.
    void drain(shm::Role role, uint64_t deadline_ns);
    void dismiss_all();
    // What waits for its restart and gets none now.
    void forget_restarts(shm::Role role);

    // Once per tick.
    void on_tick(uint64_t now_ns, uint64_t tick_ns);
    // How often our own heartbeat must show: as often as asks who expects it most often.
    uint64_t tick_ms() const;
    // Starts and signals that are due; call at next_deadline_ns().
    void run_due(uint64_t now_ns);
    uint64_t next_deadline_ns() const { return table_.next_deadline_ns(); }

    ChildTable& table() { return table_; }
    const ChildTable& table() const { return table_; }
    RingPairs& rings() { return rings_; }

    // Time-outs and restart limits of a changed configuration.
    void use_limits(const Params& params);

    // fleet_handover.cc: for a successor of this process, and as one.
    void capture(SupervisorSnapshot& snapshot, std::vector<NamedFd>& fds) const;
    Result<void> adopt_own_board(const SupervisorSnapshot& snapshot, Inherited& inherited);
    // A process that cannot be adopted is left out and logged; its slot gets another one.
    void adopt(const SupervisorSnapshot& snapshot, Inherited& inherited,
               const std::shared_ptr<const Build>& build);
    void tell_again();
    // Whether some child's messages wait for a full socket.
    bool has_unsent() const;

    // Every segment, live and kept, for bitnet-shmdump.
    std::vector<InspectEntry> inspect() const;

  private:
    // fleet_start.cc
    void start_due(Slot& slot, uint64_t now_ns);
    Result<void> start_process(Slot& slot);
    SpawnPlan spawn_plan(const Slot& slot) const;
    void send_setup(Slot& slot, Process& process);
    void announce_board(const Slot& slot);
    Result<void> make_kv_arena(Slot& slot);
    Slot& add_slot(shm::Role role);
    static void send_board(Child& child, const BoardHold& board);
    Result<void> adopt_process(Slot& slot, const ProcessSnapshot& it, Inherited& inherited);

    // fleet_events.cc
    void on_message(Child& child, shm::Message& message) override;
    void on_condemned(Child& child) override;
    void on_exit(Child& child, const ChildExit& exit) override;
    Result<void> take_ready(Slot& slot, const shm::Message& message);
    Result<void> take_peer_broken(const Slot& reporter, const shm::Message& message);
    void log_ready(const Slot& slot);
    void introduce(Process& process);
    Result<void> connect(Process& frontend, Process& worker);
    void fence(Process& process, shm::PeerEnd end);
    void log_end(const Slot& slot, const Child& child, const ChildExit& exit, bool told_to_end,
                 const Verdict& verdict);
    void bury(Slot& slot, const Verdict& verdict);
    void vacate(Slot& slot);
    void check_hangs();

    uv_loop_t* loop_;
    Params params_;  // of the supervisor: time-outs
    FleetOwner& owner_;
    ChildTable table_;
    RingPairs rings_;
    SegmentArchive archive_;
    HangJudge hang_judge_;
    OomCounter oom_;
    BoardHold own_board_;
    uint64_t last_incarnation_ = 0;
};

}  // namespace bitnetd::supervisor
