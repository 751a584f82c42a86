// The supervisor: owns everything that outlives a child (listening sockets, shared memory, models,
// the fleet) and decides what there should be. One libuv loop, one thread.
//
// This class only connects the parts: the fleet and its policies (process/), models (model/),
// changes of models, settings and binaries (rollout/), and the order of the end (shutdown.h).
//   supervisor.cc           start, time, the end
//   supervisor_children.cc  what the fleet, the loaders and the rollouts report
//   supervisor_orders.cc    what operators ask
//   supervisor_reload.cc    a changed configuration
//   supervisor_status.cc    the state of everything, for people
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "supervisor/lifecycle/health.h"
#include "supervisor/lifecycle/model/model_store.h"
#include "supervisor/lifecycle/operator.h"
#include "supervisor/lifecycle/process/fleet.h"
#include "supervisor/lifecycle/rollout/rollout_runner.h"
#include "supervisor/lifecycle/settings/listeners.h"
#include "supervisor/lifecycle/settings/settings_diff.h"
#include "supervisor/lifecycle/shutdown.h"

namespace bitnetd::supervisor {

class Supervisor final : public Operator,
                         private FleetOwner,
                         private ModelStoreOwner,
                         private RolloutOwner {
  public:
    // The configuration as it is now, checked: for a reload.
    using Reread = std::function<Result<Settings>()>;

    // `started_ns`: when bitnetd began, for the log's "ready after".
    Supervisor(uv_loop_t* loop, Settings settings, Executables programs, Listeners listeners,
               Reread reread, uint64_t started_ns);

    // Starts the frontends, then the first loader; workers follow when their model is loaded.
    Result<void> start();

    void on_terminate();  // TERM, INT: drain, then stop; the second one stops now
    void on_quit();       // QUIT: stop now
    void on_hangup();     // HUP: read the configuration again

    // Nothing runs any more: the loop may end, with this exit code.
    bool done() const { return shutdown_.phase() == ShutdownPhase::kDone; }
    int exit_code() const { return exit_code_; }

    std::vector<InspectEntry> inspect() const override { return fleet_.inspect(); }
    void command(const shm::CommandMessage& command, std::shared_ptr<CommandReply> reply) override;

  private:
    // supervisor.cc
    void on_tick();
    void run_due();
    void arm_deadline();
    void enter_shutdown_phase();
    void count_the_living();
    void update_health();
    void note_ready();

    // supervisor_children.cc
    void on_process_ready(Slot& slot) override;
    void on_process_gone(Slot& slot, const Verdict& verdict) override;
    Result<void> on_frontend_message(Process& frontend, shm::Message& message) override;
    void send_frontend_setup(Child& frontend) override;
    bool replaces(shm::Role role) const override;
    const Model* model_of(uint64_t key) const override { return models_.find(key); }
    void save_state() override;
    void on_fleet_changed() override { arm_deadline(); }
    void on_model_progress(const Model& model, uint32_t percent) override;
    void on_model_loaded(Model& model) override;
    void on_model_refused(Model& model) override;
    void on_models_settled() override;
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
    void apply_live(const Settings& before);
    std::vector<uint64_t> start_changes(const SettingsChange& change);
    void note_reload_progress(const shm::RolloutMessage& moved);
    static shm::SwapStrategy strategy_of(const Params& params);

    // supervisor_status.cc
    std::string status_text() const;

    // A tool that waits for rollouts.
    struct Watcher {
        Started started;  // rollouts: those that are not over
        bool has_failed;
        std::shared_ptr<CommandReply> reply;
    };
    // A reload that is not over, and what there was before it.
    struct Reload {
        std::set<uint64_t> rollouts;
        Settings before;
    };

    Settings settings_;
    Reread reread_;
    std::shared_ptr<const Build> build_;
    Listeners listeners_;
    uint64_t started_ns_;
    ModelStore models_;
    Fleet fleet_;
    Shutdown shutdown_;
    RolloutRunner rollouts_;
    std::unique_ptr<Timer> tick_timer_;
    std::unique_ptr<Timer> deadline_timer_;
    uv_loop_t* loop_;
    shm::HealthMessage health_told_{};
    std::vector<Watcher> watchers_;
    std::optional<Reload> reload_;
    bool was_ready_ = false;
    int exit_code_ = 0;
};

}  // namespace bitnetd::supervisor
