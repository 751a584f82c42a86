// One rollout: from one model, build or configuration to the next, and back when it is no good.
// Pure: no clock, no process. It hears what happened and says what to do next; tests drive it with
// a fake fleet.
//
//   prepare --> verify --> canary copies --> canary share --> roll --> commit --> done
//      |          |             |                 |             |
//      +----------+-------------+--- it fails ----+-------------+--> rolling back --> done
//
// What is replaced stays able to serve until commit: of the old workers of a model the last one
// leaves only when no generation needs it, and whatever left before is started again by a rollback.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shm/abi/rollout_abi.h"

namespace bitnetd::supervisor {

// A slot, by its index among its role.
using SlotId = uint32_t;

struct RolloutPlan {
    shm::RolloutKind kind{};
    shm::SwapStrategy strategy = shm::SwapStrategy::kRolling;
    uint64_t old_key = 0;           // swap, rollback, remove: what serves now
    std::vector<SlotId> workers;    // old ones, in the order in which they go
    std::vector<SlotId> frontends;  // likewise; reload and upgrade
    uint32_t workers_new = 0;       // how many there will be; 0 where they stay as they are
    // Of the new workers that many, the last ones started, take the place of one that does not
    // work: they may fail, too. Fewer than workers_new: the first one is verified.
    uint32_t workers_may_fail = 0;
    uint32_t frontends_new = 0;  // how many there will be; 0 where they stay as they are
    bool rolls_back = true;      // false: once the new model serves, failing workers only restart
    bool loads_model = false;    // a model is loaded first: load, swap, rollback
    bool self_test = false;      // the first new worker computes prompts of its own first
    uint64_t test_timeout_ns = 0;
    bool must_equal = false;         // the canary must draw what the old ones draw
    uint64_t canary_copies = 0;      // that must come back right; 0: no canary stages
    uint64_t canary_share = 0;       // requests that must end well; 0: none are shared
    uint64_t canary_timeout_ns = 0;  // of each stage; then it goes on with what it has seen
    float speed_ratio_min = 0;       // of the canary's decoding to the old ones'
};

// What a rollout does to the world. None of these calls back into the rollout.
class RolloutActions {
  public:
    virtual void load() = 0;                         // -> on_loaded() or on_refused()
    virtual SlotId start_worker(bool canary) = 0;    // of the new kind
    virtual SlotId restore_worker(SlotId like) = 0;  // of the old kind, as that one was
    virtual void test_worker(SlotId worker) = 0;     // self-test; -> on_tested()
    virtual void promote_worker(SlotId worker) = 0;  // a canary no more
    virtual void retire_worker(SlotId worker) = 0;   // it drains; -> on_worker_gone()
    virtual SlotId start_frontend() = 0;             // of the new kind
    virtual SlotId restore_frontend() = 0;           // of the old kind
    // The successor takes over what idles. It drains in the background.
    virtual void retire_frontend(SlotId frontend, SlotId successor) = 0;
    virtual void set_canary(shm::CanaryStage stage, SlotId worker) = 0;
    virtual void serve_new() = 0;   // the old model retires: -> on_released()
    virtual void serve_old() = 0;   // the new one does
    virtual void retire_old() = 0;  // remove: nothing takes its place
    virtual void forget_model(bool new_one) = 0;
    virtual void commit() = 0;  // what is new is what there is from now on
    // Phase, outcome, progress or reason changed.
    virtual void on_moved() = 0;

  protected:
    ~RolloutActions() = default;
};

// Sums over all frontends, of the present stage.
struct CanaryTotals {
    uint64_t completed = 0;
    uint64_t failed = 0;
    uint64_t different = 0;
    float speed_ratio = 0;  // speed_trial.h; 0: too little to say
};

class Rollout {
  public:
    Rollout(RolloutPlan plan, RolloutActions& actions)
        : plan_(std::move(plan)), actions_(actions) {}

    void start(uint64_t now_ns);

    void on_load_progress(uint32_t percent);
    void on_loaded(uint64_t now_ns);
    // The first new worker computes prompts of its own before anything else changes. Before
    // on_loaded().
    void ask_for_self_test() { plan_.self_test = true; }
    void on_refused(const std::string& why, uint64_t now_ns);
    void on_worker_ready(SlotId worker, uint64_t now_ns);
    // It died by its own doing, or could not be started.
    void on_worker_failed(SlotId worker, const std::string& why, uint64_t now_ns);
    void on_tested(bool passed, const std::string& why, uint64_t now_ns);
    void on_worker_gone(SlotId worker, uint64_t now_ns);
    void on_frontend_ready(SlotId frontend, uint64_t now_ns);
    void on_frontend_failed(SlotId frontend, const std::string& why, uint64_t now_ns);
    // No generation needs the model that retires any more.
    void on_released(uint64_t now_ns);
    void on_canary(const CanaryTotals& totals, uint64_t now_ns);
    void on_time(uint64_t now_ns);
    // Nobody asks for anything: waiting for requests to copy or to share is in vain.
    void on_idle(uint64_t now_ns);
    // An operator, or the end of the server.
    void fail(const std::string& why, uint64_t now_ns);

    const RolloutPlan& plan() const { return plan_; }
    // Of one that is over without being completed: where it failed or turned back.
    shm::RolloutPhase phase() const { return phase_; }
    shm::RolloutOutcome outcome() const { return outcome_; }
    bool is_over() const { return outcome_ != shm::RolloutOutcome::kRunning; }
    bool is_rolling_back() const { return rolling_back_; }
    const std::string& reason() const { return reason_; }
    float progress() const;                                // 0 .. 1
    uint64_t deadline_ns() const { return deadline_ns_; }  // call on_time() then
    std::optional<SlotId> canary() const { return canary_; }
    const CanaryTotals& copies() const { return copies_; }
    // How long each phase took, by RolloutPhase; the present one until now.
    uint64_t phase_ns(shm::RolloutPhase phase, uint64_t now_ns) const;
    uint64_t rollback_ns(uint64_t now_ns) const;

  private:
    void tell_moved();
    void enter(shm::RolloutPhase phase, uint64_t now_ns);
    SlotId start_worker(bool canary);
    void start_first_worker(uint64_t now_ns);
    void after_verify(uint64_t now_ns);
    void begin_stage(shm::RolloutPhase phase, uint64_t now_ns);
    void end_stage(uint64_t now_ns);
    void begin_roll(uint64_t now_ns);
    void roll_on(uint64_t now_ns);
    void roll_workers(uint64_t now_ns);
    void roll_frontends(uint64_t now_ns);
    bool all_new_settled() const;
    void retire_next_old();
    void retire_next_frontend(SlotId successor);
    void begin_commit(uint64_t now_ns);
    void commit_on(uint64_t now_ns);
    void roll_back(const std::string& why, uint64_t now_ns);
    void roll_back_on(uint64_t now_ns);
    void end(shm::RolloutOutcome outcome, uint64_t now_ns);
    bool changes_model() const { return plan_.loads_model; }

    RolloutPlan plan_;
    RolloutActions& actions_;
    shm::RolloutPhase phase_ = shm::RolloutPhase::kPrepare;
    shm::RolloutOutcome outcome_ = shm::RolloutOutcome::kRunning;
    bool rolling_back_ = false;
    std::string reason_;
    uint32_t load_percent_ = 0;
    uint64_t deadline_ns_ = UINT64_MAX;

    std::map<SlotId, bool> new_workers_;    // settled: ready, or failed where it may?
    std::set<SlotId> may_fail_;             // of these
    std::map<SlotId, bool> new_frontends_;  // ready?
    // Workers started again by a rollback; settled: ready, or failed once? Nothing better is left
    // to go back to.
    std::map<SlotId, bool> restored_;
    std::optional<SlotId> canary_;
    size_t workers_replaced_ = 0;    // old ones told to go
    size_t frontends_replaced_ = 0;  // likewise
    std::vector<SlotId> leaving_;    // workers told to go and not gone
    bool serves_new_ = false;
    bool released_ = false;  // the model that retires
    CanaryTotals copies_;

    uint64_t phase_began_ns_ = 0;
    uint64_t rollback_began_ns_ = 0;
    uint64_t ended_ns_ = 0;
    std::map<shm::RolloutPhase, uint64_t> took_ns_;
};

}  // namespace bitnetd::supervisor
