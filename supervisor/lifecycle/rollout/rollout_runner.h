// Carries out rollouts, one at a time and the others in a queue: turns what a Rollout decides into
// processes, models and messages, and what happens to those into its events. Keeps the history.
// Supervisor process, its loop.
#pragma once

#include <uv.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "supervisor/lifecycle/model/model_store.h"
#include "supervisor/lifecycle/process/fleet.h"
#include "supervisor/lifecycle/rollout/rollout.h"
#include "supervisor/lifecycle/rollout/rollout_history.h"
#include "supervisor/lifecycle/rollout/speed_trial.h"
#include "supervisor/lifecycle/uv_handles.h"

namespace bitnetd::supervisor {

// What is to change. Checked by whoever makes it.
struct Change {
    shm::RolloutKind kind{};
    shm::SwapStrategy strategy = shm::SwapStrategy::kRolling;
    ModelSource source;                    // load, swap, rollback: id and path; remove: the id
    std::shared_ptr<const Params> params;  // with which the model is loaded
    // Where the order says otherwise than the configuration: what that says.
    std::shared_ptr<const Params> configured;
    bool rolls_back = true;              // RolloutPlan's
    std::vector<std::string> prompts;    // of the self-test; none: a standard one
    std::string digest;                  // rollback: what the file must still be; empty: anything
    std::shared_ptr<const Build> build;  // reload, upgrade: of the new processes
    bool rolls_workers = false;          // reload, upgrade
    bool rolls_frontends = false;
    uint64_t leftover_key = 0;  // remove: this version, whatever it stands for; 0: what serves
    std::optional<SlotId> only_worker;  // reload: of the workers this one
    bool must_equal = false;            // the new workers must draw what the old ones draw
};

class RolloutOwner {
  public:
    virtual std::shared_ptr<const Build> current_build() const = 0;
    // Reload and upgrade: what every process is started with from now on.
    virtual void use_build(std::shared_ptr<const Build> build) = 0;
    // KV cache of one worker.
    virtual uint64_t kv_bytes_of(const Model& model, const Params& params) const = 0;
    virtual void on_rollout_moved(const shm::RolloutMessage& message) = 0;

  protected:
    ~RolloutOwner() = default;
};

class RolloutRunner final : private RolloutActions {
  public:
    RolloutRunner(uv_loop_t* loop, Fleet& fleet, ModelStore& models, RolloutOwner& owner);

    // Its number; it begins when those before it are over.
    uint64_t begin(Change change);
    bool is_idle() const { return !rollout_ && queue_.empty(); }
    // Those of these that wait; each is noted as failed.
    void drop(const std::set<uint64_t>& numbers, const std::string& why);
    // The server ends: those that wait are dropped, the one that runs is noted as failed, and
    // nothing is started any more. Not from within one of the actions.
    void abandon();
    // A rollout that a predecessor of this process did not end.
    void note_interrupted(shm::RolloutMessage message);

    RolloutHistory& history() { return history_; }
    const RolloutHistory& history() const { return history_; }
    // The one that runs, as it stands.
    std::optional<shm::RolloutMessage> running() const;

    // Events; each is ignored when it does not concern the rollout.
    void on_process_ready(Slot& slot);
    void on_process_gone(Slot& slot, const Verdict& verdict);
    void on_model_progress(const Model& model, uint32_t percent);
    bool on_model_loaded(Model& model);   // false: not of a rollout
    bool on_model_refused(Model& model);  // false: not of a rollout
    Result<void> on_released(const Process& frontend, const shm::Message& message);
    Result<void> on_canary_report(const Process& frontend, const shm::Message& message);
    Result<void> on_self_test_done(const shm::Message& message);
    void on_tick(uint64_t now_ns);
    void run_due(uint64_t now_ns);
    uint64_t deadline_ns() const;
    // From now on requests that name no model get this one.
    void make_default(uint64_t key);
    // The canary, for a frontend that starts.
    void send_setup(Child& frontend) const;

  private:
    void load() override;
    SlotId start_worker(bool canary) override;
    SlotId restore_worker(SlotId like) override;
    void test_worker(SlotId worker) override;
    void promote_worker(SlotId worker) override;
    void retire_worker(SlotId worker) override;
    SlotId start_frontend() override;
    SlotId restore_frontend() override;
    void retire_frontend(SlotId frontend, SlotId successor) override;
    void set_canary(shm::CanaryStage stage, SlotId worker) override;
    void serve_new() override;
    void serve_old() override;
    void retire_old() override;
    void forget_model(bool new_one) override;
    void commit() override;
    void on_moved() override;

    // What a worker is, or is to be.
    struct WorkerSpec {
        uint64_t model_key;  // 0: the model that is being loaded
        std::string device;
        std::shared_ptr<const Build> build;
        uint64_t kv_bytes;
        CoreShare cores;  // of an old one
    };

    void start_next();
    Result<RolloutPlan> make_plan();
    Result<void> plan_processes(RolloutPlan& plan);
    Result<void> plan_model(RolloutPlan& plan);
    void plan_workers(RolloutPlan& plan, std::vector<Slot*> old, std::span<const uint64_t> keys);
    uint32_t put_broken_last();
    void note_old_model(const Model& model, RolloutPlan& plan);
    void refuse(const std::string& why);
    void finish(const shm::RolloutMessage& ended);
    void note_end(const RolloutRecord& record);
    SlotId start_like(const WorkerSpec& like, bool canary);
    // What is there now and to be restored.
    static WorkerSpec spec_of(const Slot& slot);
    Slot& worker_slot(SlotId id) { return *fleet_.table().slots(shm::Role::kWorker)[id]; }
    Slot& frontend_slot(SlotId id) { return *fleet_.table().slots(shm::Role::kFrontend)[id]; }
    Result<void> hand_over(Process& from, Process& to);
    void set_standing(uint64_t key, shm::ModelStanding standing, bool is_default);
    void await_release(uint64_t key);
    void check_release();
    void later(std::function<void()> event);
    shm::RolloutMessage message() const;
    uint64_t admitted() const;

    Fleet& fleet_;
    ModelStore& models_;
    RolloutOwner& owner_;
    RolloutHistory history_;
    std::deque<std::pair<uint64_t, Change>> queue_;

    // Of the one that runs.
    std::optional<Rollout> rollout_;
    Change change_;
    shm::RolloutMessage base_{};  // what the Rollout does not know
    RolloutRecord record_;
    uint64_t new_key_ = 0;
    std::map<SlotId, WorkerSpec> old_workers_;
    std::vector<WorkerSpec> new_workers_;  // in the order in which they are started
    size_t next_new_ = 0;                  // of these
    std::set<SlotId> new_slots_;           // where they are; an old one's slot may be among them
    std::shared_ptr<const Build> old_build_;
    std::optional<SlotId> tested_;  // the worker whose self-test runs
    uint64_t tester_ = 0;           // the frontend that does it; incarnation
    shm::CanaryMessage canary_{};
    SpeedTrial speeds_;
    std::map<uint64_t, CanaryTotals> reports_;  // by frontend incarnation, of this stage
    uint64_t releasing_key_ = 0;
    std::set<uint64_t> unreleased_;  // frontend incarnations that still need it
    uint64_t release_deadline_ns_ = 0;
    uint64_t stage_admitted_ = 0;  // and still running; the same for long: nobody asks
    uint64_t quiet_since_ns_ = 0;

    std::deque<std::function<void()>> events_;  // for the next turn of the loop
    std::unique_ptr<Timer> events_timer_;
};

}  // namespace bitnetd::supervisor
