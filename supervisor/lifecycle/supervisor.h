// The supervisor: owns everything that outlives a child (listening sockets, shared memory, models,
// the fleet) and decides what there should be. One libuv loop, one thread.
//
// This class only connects the parts: the fleet and its policies (process/), models (model/),
// changes of models, settings and binaries (rollout/), and the order of the end (shutdown.h).
//   supervisor.cc           start, time, the end
//   supervisor_children.cc  what the fleet, the loaders and the rollouts report
//   supervisor_orders.cc    what operators ask
//   supervisor_reload.cc    a changed configuration
//   supervisor_handover.cc  one supervisor after the other
//   supervisor_status.cc    the state of everything, for people
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "supervisor/lifecycle/handover/estate.h"
#include "supervisor/lifecycle/handover/handover_check.h"
#include "supervisor/lifecycle/health.h"
#include "supervisor/lifecycle/log_file.h"
#include "supervisor/lifecycle/model/model_store.h"
#include "supervisor/lifecycle/operator.h"
#include "supervisor/lifecycle/process/fleet.h"
#include "supervisor/lifecycle/rollout/rollout_runner.h"
#include "supervisor/lifecycle/settings/listeners.h"
#include "supervisor/lifecycle/settings/settings_diff.h"
#include "supervisor/lifecycle/shutdown.h"

namespace bitnetd::supervisor {

// Set for a program that is executed in place of an older one: its frontends and workers are to
// follow.
inline constexpr const char* kUpgradeVariable = "BITNETD_UPGRADE";

// What this process runs as, recorded at start: an exec in place starts it again.
struct SelfProgram {
    std::string path;
    std::vector<std::string> args;
};

class Supervisor final : public Operator,
                         private FleetOwner,
                         private ModelStoreOwner,
                         private RolloutOwner {
  public:
    // The configuration as it is now, checked: for a reload.
    using Reread = std::function<Result<Settings>()>;

    struct Parts {
        Settings settings;
        Executables programs;
        Listeners listeners;
        Reread reread;
        SelfProgram self;
        Estate estate;
        LogFile log_file;
        uint64_t started_ns;  // when bitnetd began, for the log's "ready after"
    };
    Supervisor(uv_loop_t* loop, Parts parts);

    // Starts the frontends, then the first loader; workers follow when their model is loaded.
    Result<void> start();
    // Instead of start(): everything runs already. The listeners were taken from it before.
    Result<void> take_over(const SupervisorSnapshot& snapshot, Inherited& inherited);
    // After take_over() of a process that this one was executed in place of.
    Result<void> roll_onto_this_binary();
    // The control socket, which a successor serves on.
    void note_control(int listening_fd) { control_fd_ = listening_fd; }

    void on_terminate();  // TERM, INT: drain, then stop; the second one stops now
    void on_quit();       // QUIT: stop now
    void on_hangup();     // HUP: read the configuration again
    void on_upgrade();    // USR2: go on as the binary on disk
    void on_reopen();     // USR1: open the log file again

    // Nothing runs any more: the loop may end, with this exit code.
    bool done() const { return shutdown_.phase() == ShutdownPhase::kDone; }
    int exit_code() const { return exit_code_; }

    std::vector<InspectEntry> inspect() const override { return fleet_.inspect(); }
    void command(const shm::CommandMessage& command, std::shared_ptr<CommandReply> reply) override;

  private:
    // supervisor.cc
    void on_tick();
    void arm_tick();
    void run_due();
    void arm_deadline();
    void enter_shutdown_phase();
    void count_the_living();
    void update_health();
    void note_ready();
    void tell_systemd(uint64_t now_ns);

    // supervisor_children.cc
    void on_process_ready(Slot& slot) override;
    void on_process_gone(Slot& slot, const Verdict& verdict) override;
    Result<void> on_frontend_message(Process& frontend, shm::Message& message) override;
    void send_frontend_setup(Child& frontend, const Build& build) override;
    const std::string& log_level() const override { return log_level_; }
    bool replaces(shm::Role role) const override;
    const Model* model_of(uint64_t key) const override { return models_.find(key); }
    void save_state() override;
    bool outlived_by_children() const override { return estate_.outlives_us(); }
    void on_fleet_changed() override { arm_deadline(); }
    void on_model_progress(const Model& model, uint32_t percent) override;
    void on_model_loaded(Model& model) override;
    void on_model_refused(Model& model) override;
    void on_models_settled() override;
    static void send_model(Child& frontend, const Model& model);
    void start_workers(Model& model);
    uint64_t kv_bytes_of(const Model& model, const Params& params) const override;
    std::shared_ptr<const Build> current_build() const override { return build_; }
    void use_build(std::shared_ptr<const Build> build) override;
    void on_rollout_moved(const shm::RolloutMessage& message) override;

    // What an operator's wish set in motion.
    struct Started {
        std::vector<uint64_t> rollouts;  // numbers; none: it is done
        std::string text;
    };
    // supervisor_orders.cc
    shm::OrderAnswerMessage take_order(const shm::OrderMessage& order, bool anywhere);
    void set_log_level(std::string_view level);
    Result<Started> restart_worker(uint64_t index);
    void answer_with(Result<Started> started, const shm::CommandMessage& command,
                     std::shared_ptr<CommandReply> reply);
    void tell_watchers(const shm::RolloutMessage& moved);

    // supervisor_reload.cc
    Result<Started> reload();
    Result<void> open_new_listeners(const SettingsChange& change, mode_t unix_mode);
    Running running() const;
    void apply_live();
    std::vector<uint64_t> start_changes();
    bool is_withheld(const ListenAddress& address, const Build& build) const;
    void choose_default();
    void note_reload_progress(const shm::RolloutMessage& moved);
    void give_up_reload();
    void count_rollout(shm::RolloutOutcome outcome);
    static shm::SwapStrategy strategy_of(const Params& params);

    // supervisor_handover.cc
    SupervisorSnapshot capture(std::vector<NamedFd>& fds) const;
    void adopt_models(const SupervisorSnapshot& snapshot, Inherited& inherited);
    void load_missing_models();
    void retire_leftover(const Model& model);
    void unify_fleet();
    Result<void> upgrade(std::shared_ptr<CommandReply> reply, bool is_watched);
    Result<void> check_upgrade() const;
    void flush_then_exec(uint32_t looks);
    void exec_new_binary();
    void end_upgrade(const char* event, const std::string& why);
    // A rollout, or an upgrade before its exec, which would cut off what is begun now.
    bool is_changing() const { return upgrade_ || !rollouts_.is_idle(); }

    // supervisor_status.cc
    std::string status_text() const;
    std::string status_line() const;  // for systemctl status

    // A tool that waits for rollouts.
    struct Watcher {
        Started started;  // rollouts: those that are not over
        bool has_failed;
        std::shared_ptr<CommandReply> reply;
    };
    // A reload that is not over.
    struct Reload {
        Settings before;
        SettingsChange change;
        std::shared_ptr<const Build> build;  // of the new processes
        uint64_t roll;                       // the rollout of the processes; 0: none, or it is over
        std::set<uint64_t> rollouts;         // all that are not over
    };

    // One that has not come to its exec.
    struct Upgrade {
        std::shared_ptr<CommandReply> reply;  // of the tool that asked; null: nobody
        bool is_watched;                      // the tool waits for what comes after the exec
        std::unique_ptr<HandoverCheck> check;
        std::unique_ptr<Timer> timer;
    };

    Settings settings_;
    std::string log_level_;  // that of the settings, or what an order set since
    Reread reread_;
    SelfProgram self_;
    Estate estate_;
    LogFile log_file_;
    std::shared_ptr<const Build> build_;
    Listeners listeners_;
    uint64_t started_ns_;
    ModelStore models_;
    Fleet fleet_;
    Shutdown shutdown_;
    RolloutRunner rollouts_;
    std::unique_ptr<Timer> tick_timer_;
    uint64_t tick_ms_ = 0;  // of the timer; 0: it does not run
    std::unique_ptr<Timer> deadline_timer_;
    std::optional<Upgrade> upgrade_;
    // A predecessor's rollout that was cut off, until the one that repairs it runs.
    std::optional<shm::RolloutMessage> cut_off_;
    uint64_t repair_ = 0;  // its number
    uv_loop_t* loop_;
    int control_fd_ = -1;
    uint64_t watchdog_due_ns_ = 0;
    shm::HealthMessage health_told_{};
    std::vector<Watcher> watchers_;
    std::optional<Reload> reload_;
    bool was_ready_ = false;
    int exit_code_ = 0;
};

}  // namespace bitnetd::supervisor
