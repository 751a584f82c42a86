// What a rollout does: processes, models and messages.
#include <algorithm>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/rollout/rollout_runner.h"

namespace bitnetd::supervisor {

using shm::ModelStanding;

namespace {

constexpr std::string_view kStandardPrompt = "Once upon a time";

}  // namespace

void RolloutRunner::load() {
    new_key_ = models_.add(change_.source, change_.params, ModelStanding::kCanary);
    if (change_.configured) models_.find(new_key_)->configured = change_.configured;
    models_.load_next();
}

RolloutRunner::WorkerSpec RolloutRunner::spec_of(const Slot& slot) {
    return {slot.model_key, slot.device, slot.build, slot.kv_bytes, slot.cores};
}

SlotId RolloutRunner::start_like(const WorkerSpec& like, bool canary) {
    Slot& slot = fleet_.open_slot(shm::Role::kWorker, like.build);
    slot.model_key = like.model_key;
    slot.device = like.device;
    slot.kv_bytes = like.kv_bytes;
    slot.cores = like.cores;
    slot.is_canary = canary;
    fleet_.start(slot);
    return slot.index;
}

SlotId RolloutRunner::start_worker(bool canary) {
    WorkerSpec spec = new_workers_.at(next_new_++);
    if (spec.model_key == 0) spec.model_key = new_key_;
    const Params& params = spec.build->params;
    spec.kv_bytes = owner_.kv_bytes_of(*models_.find(spec.model_key), params);
    spec.cores = fleet_.free_share(models_.core_shares(params), [this](const Slot& slot) {
        return old_workers_.contains(slot.index) && !new_slots_.contains(slot.index);
    });
    const SlotId started = start_like(spec, canary);
    new_slots_.insert(started);
    return started;
}

SlotId RolloutRunner::restore_worker(SlotId like) {
    return start_like(old_workers_.at(like), false);
}

// By any frontend; where there is none now, by the next one that is ready.
void RolloutRunner::test_worker(SlotId worker) {
    tested_ = worker;
    tester_ = 0;
    const Slot& slot = worker_slot(worker);
    if (!slot.process) return;  // killed meanwhile: its successor is tested
    shm::SelfTestMessage test{};
    test.rollout = base_.number;
    test.worker = slot.process->incarnation;
    test.model_key = slot.model_key;
    for (const std::string& prompt : change_.prompts)
        shm::set_field(test.prompts[test.count++], prompt);
    if (test.count == 0) shm::set_field(test.prompts[test.count++], kStandardPrompt);
    fleet_.table().for_each_running(shm::Role::kFrontend, [&](Process& frontend) {
        if (tester_ != 0 || !frontend.ready || frontend.is_draining()) return;
        tester_ = frontend.incarnation;
        frontend.child->send(shm::MessageType::kSelfTest, test);
    });
}

void RolloutRunner::promote_worker(SlotId worker) {
    fleet_.promote(worker_slot(worker));
}

// A worker of a build that goes leaves its generations to others when it takes too long; the last
// ones of a model have finished before.
void RolloutRunner::retire_worker(SlotId worker) {
    Slot& slot = worker_slot(worker);
    const bool runs = slot.process != nullptr;
    const uint64_t patience_ms = old_build_->params.server_drain_timeout_ms;
    fleet_.retire(slot, monotonic_ns() + patience_ms * kNsPerMs);
    if (runs) return;
    later([this, worker] {
        if (rollout_) rollout_->on_worker_gone(worker, monotonic_ns());
    });
}

SlotId RolloutRunner::start_frontend() {
    Slot& slot = fleet_.open_slot(shm::Role::kFrontend, change_.build);
    fleet_.start(slot);
    return slot.index;
}

SlotId RolloutRunner::restore_frontend() {
    Slot& slot = fleet_.open_slot(shm::Role::kFrontend, old_build_);
    fleet_.start(slot);
    return slot.index;
}

void RolloutRunner::retire_frontend(SlotId frontend, SlotId successor) {
    Slot& old = frontend_slot(frontend);
    Slot& next = frontend_slot(successor);
    if (old.process && next.process && next.process->ready) {
        // Without it the old one closes its idle connections itself, a little later.
        if (auto handed = hand_over(*old.process, *next.process); !handed.ok()) {
            log::warn("hand_over_failed", {{"error", handed.error().message}});
        }
    }
    const uint64_t patience_ms = old_build_->params.rollout_drain_timeout_ms;
    fleet_.retire(old, monotonic_ns() + patience_ms * kNsPerMs);
}

Result<void> RolloutRunner::hand_over(Process& from, Process& to) {
    BITNETD_ASSIGN(auto ends, shm::Channel::make_pair());
    const int receiving[] = {ends.second.get()};
    to.child->send_fds(shm::MessageType::kPredecessor, receiving);
    const int giving[] = {ends.first.get()};
    from.child->send_fds(shm::MessageType::kHandOver, giving);
    return {};
}

void RolloutRunner::set_canary(shm::CanaryStage stage, SlotId worker) {
    const Params& params = old_build_->params;
    const bool copies = stage == shm::CanaryStage::kCopies;
    const bool begins = stage != canary_.stage;
    if (begins) {
        reports_.clear();
        quiet_since_ns_ = monotonic_ns();
        stage_admitted_ = admitted();
    }
    const Slot& slot = worker_slot(worker);
    const uint64_t before = canary_.worker;
    canary_.rollout = base_.number;
    canary_.worker = slot.process ? slot.process->incarnation : 0;
    canary_.model_key = slot.model_key;
    canary_.baseline_key = base_.old_key != 0 ? base_.old_key : slot.model_key;
    canary_.stage = stage;
    canary_.permille = static_cast<uint32_t>(copies ? params.rollout_canary_copies_permille
                                                    : params.rollout_canary_share_permille);
    canary_.must_equal = rollout_ && rollout_->plan().must_equal ? 1 : 0;
    // One that was killed and came back is tried anew.
    if (begins || canary_.worker != before)
        speeds_.begin(fleet_.table(), canary_.worker, canary_.baseline_key);
    fleet_.table().tell_frontends(shm::MessageType::kCanary, canary_);
}

void RolloutRunner::send_setup(Child& frontend) const {
    if (canary_.stage != shm::CanaryStage::kOff) {
        frontend.send(shm::MessageType::kCanary, canary_);
    }
}

void RolloutRunner::set_standing(uint64_t key, ModelStanding standing, bool is_default) {
    Model* model = models_.find(key);
    if (model == nullptr) return;
    model->message.standing = standing;
    model->message.is_default = is_default ? 1 : 0;
    fleet_.table().tell_frontends(
        shm::MessageType::kModelStanding,
        shm::ModelStandingMessage{key, standing, model->message.is_default});
}

// Frontends take the default from whichever had it.
void RolloutRunner::make_default(uint64_t key) {
    const Model* chosen = models_.find(key);
    if (chosen == nullptr || chosen->message.is_default != 0) return;
    for (const auto& model : models_.models())
        model->message.is_default = 0;
    set_standing(key, ModelStanding::kServing, true);
}

void RolloutRunner::await_release(uint64_t key) {
    releasing_key_ = key;
    unreleased_.clear();
    fleet_.table().for_each_running(shm::Role::kFrontend, [this](Process& frontend) {
        if (frontend.ready) unreleased_.insert(frontend.incarnation);
    });
    release_deadline_ns_ = monotonic_ns() + old_build_->params.rollout_drain_timeout_ms * kNsPerMs;
    check_release();
}

void RolloutRunner::serve_new() {
    const Model* old = models_.find(base_.old_key);
    const bool is_default =
        old != nullptr ? old->message.is_default != 0 : models_.count(ModelState::kLoaded) == 1;
    set_standing(new_key_, ModelStanding::kServing, is_default);
    if (base_.old_key == 0) return;
    set_standing(base_.old_key, ModelStanding::kRetiring, false);
    await_release(base_.old_key);
}

void RolloutRunner::serve_old() {
    const Model* fresh = models_.find(new_key_);
    const Model* old = models_.find(base_.old_key);
    const bool was_default = (fresh != nullptr && fresh->message.is_default != 0) ||
                             (old != nullptr && old->message.is_default != 0);
    if (base_.old_key != 0) set_standing(base_.old_key, ModelStanding::kServing, was_default);
    set_standing(new_key_, ModelStanding::kRetiring, false);
    await_release(new_key_);
}

void RolloutRunner::retire_old() {
    set_standing(base_.old_key, ModelStanding::kRetiring, false);
    await_release(base_.old_key);
}

void RolloutRunner::forget_model(bool new_one) {
    const uint64_t key = new_one ? new_key_ : base_.old_key;
    const Model* model = models_.find(key);
    if (model == nullptr) return;
    if (model->is_loaded()) {
        fleet_.table().tell_frontends(shm::MessageType::kModelGone, model->message);
    }
    models_.forget(key);
}

void RolloutRunner::commit() {
    if (change_.build && !change_.only_worker) owner_.use_build(change_.build);
}

}  // namespace bitnetd::supervisor
