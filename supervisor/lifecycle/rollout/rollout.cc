#include "supervisor/lifecycle/rollout/rollout.h"

#include <algorithm>
#include <utility>

namespace bitnetd::supervisor {

using shm::CanaryStage;
using shm::RolloutKind;
using shm::RolloutOutcome;
using shm::RolloutPhase;
using shm::SwapStrategy;

namespace {

bool is_there(const std::vector<SlotId>& list, SlotId id) {
    return std::find(list.begin(), list.end(), id) != list.end();
}

}  // namespace

// The end is told once, by end() itself.
void Rollout::tell_moved() {
    if (!is_over()) actions_.on_moved();
}

void Rollout::enter(RolloutPhase phase, uint64_t now_ns) {
    if (phase_began_ns_ != 0) took_ns_[phase_] += now_ns - phase_began_ns_;
    phase_ = phase;
    phase_began_ns_ = now_ns;
    deadline_ns_ = UINT64_MAX;
}

void Rollout::start(uint64_t now_ns) {
    enter(RolloutPhase::kPrepare, now_ns);
    if (plan_.kind == RolloutKind::kRemove) {
        actions_.retire_old();
        begin_commit(now_ns);
    } else if (plan_.loads_model) {
        actions_.load();
    } else {
        start_first_worker(now_ns);
    }
    tell_moved();
}

void Rollout::on_load_progress(uint32_t percent) {
    if (percent <= load_percent_ || phase_ != RolloutPhase::kPrepare) return;
    load_percent_ = percent;
    tell_moved();
}

void Rollout::on_loaded(uint64_t now_ns) {
    if (is_over() || rolling_back_) return;
    start_first_worker(now_ns);
    tell_moved();
}

void Rollout::on_refused(const std::string& why, uint64_t now_ns) {
    if (is_over() || rolling_back_) return;
    reason_ = why;
    actions_.forget_model(/*new_one=*/true);
    end(RolloutOutcome::kFailed, now_ns);
}

// The first new worker shows whether it runs at all, before anything else changes.
void Rollout::start_first_worker(uint64_t now_ns) {
    enter(RolloutPhase::kVerify, now_ns);
    if (plan_.workers_new == 0) return begin_roll(now_ns);
    const bool has_canary = plan_.canary_copies > 0 && !plan_.workers.empty();
    canary_ = start_worker(has_canary);
}

SlotId Rollout::start_worker(bool canary) {
    const bool may_fail = new_workers_.size() + plan_.workers_may_fail >= plan_.workers_new;
    const SlotId worker = actions_.start_worker(canary);
    new_workers_[worker] = false;
    if (may_fail) may_fail_.insert(worker);
    return worker;
}

void Rollout::on_tested(bool passed, const std::string& why, uint64_t now_ns) {
    if (rolling_back_ || phase_ != RolloutPhase::kVerify) return;
    if (!passed) return roll_back("self-test: " + why, now_ns);
    after_verify(now_ns);
    tell_moved();
}

void Rollout::after_verify(uint64_t now_ns) {
    if (plan_.canary_copies > 0 && !plan_.workers.empty()) {
        begin_stage(RolloutPhase::kCanaryCopies, now_ns);
    } else {
        begin_roll(now_ns);
    }
}

void Rollout::begin_stage(RolloutPhase phase, uint64_t now_ns) {
    enter(phase, now_ns);
    deadline_ns_ = now_ns + plan_.canary_timeout_ns;
    const bool copies = phase == RolloutPhase::kCanaryCopies;
    actions_.set_canary(copies ? CanaryStage::kCopies : CanaryStage::kShare, *canary_);
}

void Rollout::end_stage(uint64_t now_ns) {
    const bool copies = phase_ == RolloutPhase::kCanaryCopies;
    if (copies && plan_.canary_share > 0) return begin_stage(RolloutPhase::kCanaryShare, now_ns);
    actions_.set_canary(CanaryStage::kOff, *canary_);
    begin_roll(now_ns);
}

void Rollout::on_canary(const CanaryTotals& totals, uint64_t now_ns) {
    const bool copies = phase_ == RolloutPhase::kCanaryCopies;
    if (rolling_back_ || (!copies && phase_ != RolloutPhase::kCanaryShare)) return;
    if (copies) copies_ = totals;
    if (totals.different > 0) {
        return roll_back("the canary answered otherwise than the old worker: " +
                             std::to_string(totals.different) + " of " +
                             std::to_string(totals.completed) + " copies",
                         now_ns);
    }
    if (totals.failed > 0) {
        return roll_back("requests failed on the canary: " + std::to_string(totals.failed), now_ns);
    }
    if (totals.speed_ratio > 0 && totals.speed_ratio < plan_.speed_ratio_min) {
        return roll_back("the canary computes at " + std::to_string(totals.speed_ratio) +
                             " of the old speed, expected at least " +
                             std::to_string(plan_.speed_ratio_min),
                         now_ns);
    }
    if (totals.completed >= (copies ? plan_.canary_copies : plan_.canary_share)) end_stage(now_ns);
    tell_moved();
}

void Rollout::on_time(uint64_t now_ns) {
    if (now_ns < deadline_ns_ || rolling_back_ || is_over()) return;
    deadline_ns_ = UINT64_MAX;
    if (phase_ == RolloutPhase::kVerify) return roll_back("self-test: no answer in time", now_ns);
    // Too little traffic to see more: what was seen was right.
    if (phase_ == RolloutPhase::kCanaryCopies || phase_ == RolloutPhase::kCanaryShare) {
        end_stage(now_ns);
        tell_moved();
    }
}

void Rollout::on_idle(uint64_t now_ns) {
    if (rolling_back_) return;
    if (phase_ != RolloutPhase::kCanaryCopies && phase_ != RolloutPhase::kCanaryShare) return;
    actions_.set_canary(CanaryStage::kOff, *canary_);
    begin_roll(now_ns);
    tell_moved();
}

void Rollout::begin_roll(uint64_t now_ns) {
    enter(RolloutPhase::kRoll, now_ns);
    if (canary_) actions_.promote_worker(*canary_);
    roll_on(now_ns);
}

bool Rollout::all_new_settled() const {
    const auto is_settled = [](const auto& entry) { return entry.second; };
    return std::all_of(new_workers_.begin(), new_workers_.end(), is_settled);
}

void Rollout::roll_on(uint64_t now_ns) {
    if (!all_new_settled()) return;
    const bool at_once = plan_.strategy == SwapStrategy::kBlueGreen || plan_.workers.empty();
    if (at_once && new_workers_.size() < plan_.workers_new) {
        while (new_workers_.size() < plan_.workers_new)
            start_worker(false);
        return;
    }
    if (changes_model() && !serves_new_) {
        serves_new_ = true;
        actions_.serve_new();
        // Nothing retires where nothing served before.
        released_ = plan_.old_key == 0;
    }
    roll_workers(now_ns);
}

// One more old worker goes; when it is gone the next new one comes. When all new ones are there, so
// do the rest.
void Rollout::roll_workers(uint64_t now_ns) {
    if (!leaving_.empty() || !all_new_settled()) return;
    const size_t kept = changes_model() ? 1 : 0;  // until the old model is released
    const auto may_go = [this] {
        return new_workers_.size() > workers_replaced_ || new_workers_.size() >= plan_.workers_new;
    };
    while (may_go() && workers_replaced_ + kept < plan_.workers.size() && plan_.workers_new > 0) {
        retire_next_old();
    }
    if (!leaving_.empty()) return;
    if (new_workers_.size() < plan_.workers_new) {
        start_worker(false);
        return;
    }
    roll_frontends(now_ns);
}

void Rollout::roll_frontends(uint64_t now_ns) {
    for (const auto& [id, ready] : new_frontends_) {
        if (!ready) return;
    }
    if (new_frontends_.size() < plan_.frontends_new) {
        new_frontends_[actions_.start_frontend()] = false;
        return;
    }
    while (!new_frontends_.empty() && frontends_replaced_ < plan_.frontends.size())
        retire_next_frontend(new_frontends_.rbegin()->first);
    begin_commit(now_ns);
}

void Rollout::retire_next_frontend(SlotId successor) {
    actions_.retire_frontend(plan_.frontends[frontends_replaced_++], successor);
}

void Rollout::begin_commit(uint64_t now_ns) {
    enter(RolloutPhase::kCommit, now_ns);
    actions_.commit();
    commit_on(now_ns);
}

void Rollout::retire_next_old() {
    const SlotId old = plan_.workers[workers_replaced_++];
    leaving_.push_back(old);
    actions_.retire_worker(old);
}

// What is left of the old ones goes when no generation needs it.
void Rollout::commit_on(uint64_t now_ns) {
    const bool needs_release = plan_.old_key != 0;
    if (needs_release && !released_) return;
    while (workers_replaced_ < plan_.workers.size())
        retire_next_old();
    if (!leaving_.empty()) return;
    if (needs_release) actions_.forget_model(/*new_one=*/false);
    end(RolloutOutcome::kCompleted, now_ns);
}

void Rollout::on_worker_ready(SlotId worker, uint64_t now_ns) {
    if (is_over()) return;
    if (const auto restored = restored_.find(worker); restored != restored_.end()) {
        restored->second = true;
        return roll_back_on(now_ns);
    }
    const auto found = new_workers_.find(worker);
    if (found == new_workers_.end() || rolling_back_) return;
    const bool was_ready = found->second;
    found->second = true;
    switch (phase_) {
        case RolloutPhase::kVerify:
            // Killed from outside in the middle of its test it is tested again.
            if (!plan_.self_test) {
                after_verify(now_ns);
            } else {
                deadline_ns_ = now_ns + plan_.test_timeout_ns;
                actions_.test_worker(worker);
            }
            break;
        case RolloutPhase::kCanaryCopies:
        case RolloutPhase::kCanaryShare:
            // Killed from outside and back: the frontends must hear who it is now.
            actions_.set_canary(
                phase_ == RolloutPhase::kCanaryCopies ? CanaryStage::kCopies : CanaryStage::kShare,
                *canary_);
            break;
        case RolloutPhase::kRoll:
            if (!was_ready) roll_on(now_ns);
            break;
        default:
            break;
    }
    tell_moved();
}

// From commit on a new worker that dies is restarted like any other; one that may fail, always.
void Rollout::on_worker_failed(SlotId worker, const std::string& why, uint64_t now_ns) {
    if (is_over()) return;
    if (const auto restored = restored_.find(worker); restored != restored_.end()) {
        restored->second = true;
        return roll_back_on(now_ns);
    }
    const auto found = new_workers_.find(worker);
    if (found == new_workers_.end() || rolling_back_ || phase_ == RolloutPhase::kCommit) return;
    if (may_fail_.contains(worker)) {
        if (!std::exchange(found->second, true)) roll_on(now_ns);
        return tell_moved();
    }
    if (!plan_.rolls_back && serves_new_) return;
    roll_back("a new worker failed: " + why, now_ns);
}

void Rollout::on_worker_gone(SlotId worker, uint64_t now_ns) {
    if (!is_there(leaving_, worker)) return;
    std::erase(leaving_, worker);
    if (is_over()) return;
    if (rolling_back_) return roll_back_on(now_ns);
    if (phase_ == RolloutPhase::kCommit) {
        commit_on(now_ns);
    } else {
        roll_workers(now_ns);
    }
    tell_moved();
}

void Rollout::on_frontend_ready(SlotId frontend, uint64_t now_ns) {
    const auto found = new_frontends_.find(frontend);
    if (is_over() || rolling_back_ || found == new_frontends_.end() || found->second) return;
    found->second = true;
    if (frontends_replaced_ < plan_.frontends.size()) retire_next_frontend(frontend);
    roll_frontends(now_ns);
    tell_moved();
}

void Rollout::on_frontend_failed(SlotId frontend, const std::string& why, uint64_t now_ns) {
    if (is_over() || rolling_back_ || phase_ == RolloutPhase::kCommit) return;
    if (!new_frontends_.contains(frontend)) return;
    roll_back("a new frontend failed: " + why, now_ns);
}

void Rollout::on_released(uint64_t now_ns) {
    released_ = true;
    if (is_over()) return;
    if (rolling_back_) {
        roll_back_on(now_ns);
    } else if (phase_ == RolloutPhase::kCommit) {
        commit_on(now_ns);
    }
}

void Rollout::fail(const std::string& why, uint64_t now_ns) {
    if (is_over() || rolling_back_ || phase_ == RolloutPhase::kCommit) return;
    roll_back(why, now_ns);
}

// Back to what there was: first everything old that has left is started again, then everything new
// goes, which may still have generations.
void Rollout::roll_back(const std::string& why, uint64_t now_ns) {
    reason_ = why;
    rolling_back_ = true;
    rollback_began_ns_ = now_ns;
    deadline_ns_ = UINT64_MAX;
    if (canary_) actions_.set_canary(CanaryStage::kOff, *canary_);
    const bool shared = changes_model() && !new_workers_.empty();
    if (serves_new_) actions_.serve_old();
    // A candidate that never had a request has nothing to release.
    released_ = !shared;
    for (size_t i = 0; i < workers_replaced_; ++i)
        restored_[actions_.restore_worker(plan_.workers[i])] = false;
    std::vector<SlotId> restored_frontends;
    for (size_t i = 0; i < frontends_replaced_; ++i)
        restored_frontends.push_back(actions_.restore_frontend());
    size_t next = 0;
    for (const auto& [id, ready] : new_frontends_) {
        actions_.retire_frontend(id, restored_frontends.empty()
                                         ? plan_.frontends.front()
                                         : restored_frontends[next++ % restored_frontends.size()]);
    }
    if (shared && !serves_new_) actions_.serve_old();
    leaving_.clear();
    tell_moved();
    roll_back_on(now_ns);
}

void Rollout::roll_back_on(uint64_t now_ns) {
    for (const auto& [id, ready] : restored_) {
        if (!ready) return;
    }
    if (!released_) return;
    for (const auto& [id, ready] : new_workers_) {
        leaving_.push_back(id);
        actions_.retire_worker(id);
    }
    new_workers_.clear();
    if (!leaving_.empty()) return;
    if (changes_model()) actions_.forget_model(/*new_one=*/true);
    end(RolloutOutcome::kRolledBack, now_ns);
}

void Rollout::end(RolloutOutcome outcome, uint64_t now_ns) {
    const RolloutPhase last = phase_;
    enter(RolloutPhase::kDone, now_ns);
    if (outcome != RolloutOutcome::kCompleted) phase_ = last;
    ended_ns_ = now_ns;
    outcome_ = outcome;
    actions_.on_moved();
}

float Rollout::progress() const {
    const auto share = [](size_t done, size_t all) {
        return all == 0 ? 1.0f : static_cast<float>(done) / static_cast<float>(all);
    };
    switch (phase_) {
        case RolloutPhase::kPrepare:
            return 0.4f * static_cast<float>(load_percent_) / 100.0f;
        case RolloutPhase::kVerify:
            return 0.4f;
        case RolloutPhase::kCanaryCopies:
            return 0.5f;
        case RolloutPhase::kCanaryShare:
            return 0.6f;
        case RolloutPhase::kRoll:
            return 0.7f + 0.2f * share(workers_replaced_ + frontends_replaced_,
                                       plan_.workers.size() + plan_.frontends.size());
        case RolloutPhase::kCommit:
            return 0.95f;
        case RolloutPhase::kDone:
            return 1.0f;
    }
    return 0;
}

uint64_t Rollout::phase_ns(RolloutPhase phase, uint64_t now_ns) const {
    const auto took = took_ns_.find(phase);
    uint64_t total = took == took_ns_.end() ? 0 : took->second;
    if (phase == phase_ && !is_over()) total += now_ns - phase_began_ns_;
    return total;
}

uint64_t Rollout::rollback_ns(uint64_t now_ns) const {
    if (rollback_began_ns_ == 0) return 0;
    return (ended_ns_ != 0 ? ended_ns_ : now_ns) - rollback_began_ns_;
}

}  // namespace bitnetd::supervisor
