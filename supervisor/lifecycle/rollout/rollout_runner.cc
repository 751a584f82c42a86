// Events in, and the queue. What a rollout does is in rollout_actions.cc.
#include "supervisor/lifecycle/rollout/rollout_runner.h"

#include <algorithm>
#include <ctime>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/rollout/rollout_json.h"
#include "supervisor/lifecycle/settings/worker_devices.h"

namespace bitnetd::supervisor {
namespace {

int64_t unix_ms() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

shm::RolloutMessage first_message(uint64_t number, const Change& change) {
    shm::RolloutMessage message{};
    message.number = number;
    message.kind = change.kind;
    message.strategy = change.strategy;
    message.started_unix_ms = unix_ms();
    shm::set_field(message.model, change.source.id);
    return message;
}

// Of one that does not begin.
shm::RolloutMessage refusal(shm::RolloutMessage message, const std::string& why) {
    message.phase = shm::RolloutPhase::kPrepare;
    message.outcome = shm::RolloutOutcome::kFailed;
    message.ended_unix_ms = unix_ms();
    shm::set_field(message.reason, why);
    return message;
}

}  // namespace

RolloutRunner::RolloutRunner(uv_loop_t* loop, Fleet& fleet, ModelStore& models, RolloutOwner& owner)
    : fleet_(fleet),
      models_(models),
      owner_(owner),
      events_timer_(std::make_unique<Timer>(loop, [this] {
          while (!events_.empty()) {
              const auto event = std::move(events_.front());
              events_.pop_front();
              event();
          }
      })) {}

// A rollout's actions may start and end processes, whose events come at once: they wait for the
// next turn of the loop, so that no action is interrupted by what it causes.
void RolloutRunner::later(std::function<void()> event) {
    events_.push_back(std::move(event));
    events_timer_->start(0);
}

uint64_t RolloutRunner::begin(Change change) {
    const uint64_t number = history_.next_number();
    queue_.emplace_back(number, std::move(change));
    later([this] { start_next(); });
    return number;
}

void RolloutRunner::abandon() {
    queue_.clear();
    events_.clear();
    tested_.reset();
    releasing_key_ = 0;
    canary_.stage = shm::CanaryStage::kOff;
    if (!rollout_ || rollout_->is_over()) return;
    shm::RolloutMessage ended = message();
    rollout_.reset();
    ended.outcome = shm::RolloutOutcome::kFailed;
    ended.ended_unix_ms = unix_ms();
    shm::set_field(ended.reason, "the server was stopped");
    record_.message = ended;
    history_.add(record_);
    owner_.on_rollout_moved(ended);
}

void RolloutRunner::start_next() {
    if (rollout_ && !rollout_->is_over()) return;
    rollout_.reset();
    if (queue_.empty()) return;
    base_ = first_message(queue_.front().first, queue_.front().second);
    change_ = std::move(queue_.front().second);
    queue_.pop_front();
    new_key_ = 0;
    next_new_ = 0;
    old_workers_.clear();
    new_workers_.clear();
    new_slots_.clear();
    reports_.clear();
    releasing_key_ = 0;
    unreleased_.clear();
    canary_ = {};
    tested_.reset();
    record_ = {};
    auto plan = make_plan();
    if (!plan.ok()) return refuse(plan.error().message);
    log::info("rollout_started", {{"rollout", base_.number},
                                  {"kind", to_string(base_.kind)},
                                  {"model", change_.source.id},
                                  {"path", change_.source.path}});
    rollout_.emplace(std::move(*plan), static_cast<RolloutActions&>(*this));
    rollout_->start(monotonic_ns());
}

// It cannot even begin.
void RolloutRunner::refuse(const std::string& why) {
    finish(refusal(base_, why));
}

void RolloutRunner::drop(const std::set<uint64_t>& numbers, const std::string& why) {
    std::vector<RolloutRecord> dropped;
    for (const auto& [number, change] : queue_) {
        if (!numbers.contains(number)) continue;
        dropped.push_back({refusal(first_message(number, change), why), {}, {}, {}});
    }
    std::erase_if(queue_, [&](const auto& waiting) { return numbers.contains(waiting.first); });
    for (const RolloutRecord& record : dropped)
        note_end(record);
}

void RolloutRunner::finish(const shm::RolloutMessage& ended) {
    record_.message = ended;
    note_end(record_);
    later([this] { start_next(); });
}

void RolloutRunner::note_end(const RolloutRecord& record) {
    const shm::RolloutMessage& ended = record.message;
    log::info("rollout_ended", {{"rollout", ended.number},
                                {"kind", to_string(ended.kind)},
                                {"model", shm::field_text(ended.model)},
                                {"outcome", to_string(ended.outcome)},
                                {"reason", shm::field_text(ended.reason)},
                                {"total_ms", ended.ended_unix_ms - ended.started_unix_ms}});
    history_.add(record);
    owner_.on_rollout_moved(ended);
}

void RolloutRunner::note_interrupted(shm::RolloutMessage message) {
    const auto& known = history_.records();
    const bool is_noted = std::any_of(known.begin(), known.end(), [&](const auto& record) {
        return record.message.number == message.number;
    });
    if (is_noted) return;  // by a supervisor that died before it had repaired what is left of it
    message.outcome = shm::RolloutOutcome::kFailed;
    message.ended_unix_ms = unix_ms();
    shm::set_field(message.reason, "the supervisor was restarted in the middle of it");
    history_.add({message, {}, {}, {}});
}

Result<RolloutPlan> RolloutRunner::make_plan() {
    const Params& params = change_.build ? change_.build->params : *change_.params;
    RolloutPlan plan;
    plan.kind = change_.kind;
    plan.strategy = change_.strategy;
    plan.canary_copies = params.rollout_canary_copies;
    plan.canary_share = params.rollout_canary_share_requests;
    plan.canary_timeout_ns = params.rollout_canary_timeout_ms * kNsPerMs;
    plan.speed_ratio_min = static_cast<float>(params.rollout_speed_ratio_min_permille) / 1000.0f;
    plan.must_equal = change_.must_equal;
    plan.rolls_back = change_.rolls_back;
    plan.test_timeout_ns = params.rollout_test_timeout_ms * kNsPerMs;
    old_build_ = owner_.current_build();
    if (change_.build) {
        BITNETD_TRY(plan_processes(plan));
    } else {
        BITNETD_TRY(plan_model(plan));
    }
    return plan;
}

// Reload and upgrade: the same models on new processes.
Result<void> RolloutRunner::plan_processes(RolloutPlan& plan) {
    const ChildTable& table = fleet_.table();
    if (change_.rolls_frontends) {
        for (const Slot* slot : table.serving(shm::Role::kFrontend))
            plan.frontends.push_back(slot->index);
        plan.frontends_new = static_cast<uint32_t>(change_.build->params.server_frontends);
    }
    if (!change_.rolls_workers) return {};
    std::vector<Slot*> old = table.serving(shm::Role::kWorker);
    if (change_.only_worker) {
        plan.canary_copies = 0;  // nothing is new about it
        std::erase_if(old, [this](const Slot* slot) { return slot->index != change_.only_worker; });
        if (old.empty()) return Error{ErrorCode::kNotFound, "the worker is gone"};
        plan.workers = {old.front()->index};
        plan.workers_new = 1;
        old_workers_[old.front()->index] = spec_of(*old.front());
        new_workers_ = {old_workers_.begin()->second};
        return {};
    }
    std::vector<uint64_t> keys;
    for (const auto& model : models_.models()) {
        const bool serves = model->message.standing == shm::ModelStanding::kServing;
        if (model->is_loaded() && serves) keys.push_back(model->key);
    }
    plan_workers(plan, std::move(old), keys);
    return {};
}

Result<void> RolloutRunner::plan_model(RolloutPlan& plan) {
    const Model* model = change_.leftover_key != 0 ? models_.find(change_.leftover_key)
                                                   : models_.serving(change_.source.id);
    const bool expects_old = change_.kind != shm::RolloutKind::kLoad;
    if (expects_old && model == nullptr) {
        return Error{ErrorCode::kNotFound, "no model \"" + change_.source.id + "\" is served"};
    }
    if (!expects_old && model != nullptr) {
        return invalid("\"" + change_.source.id + "\" is served already; swap it");
    }
    plan.loads_model = change_.kind != shm::RolloutKind::kRemove;
    std::vector<Slot*> old;
    if (model != nullptr) {
        note_old_model(*model, plan);
        old = fleet_.table().serving(model->key);
    }
    const uint64_t the_new_one[] = {0};
    plan_workers(
        plan, std::move(old),
        plan.loads_model ? std::span<const uint64_t>(the_new_one) : std::span<const uint64_t>());
    return {};
}

// Old and new ones alike go round the models: so that each model has a new worker before its next
// old one leaves.
void RolloutRunner::plan_workers(RolloutPlan& plan, std::vector<Slot*> old,
                                 std::span<const uint64_t> keys) {
    const auto build = change_.build ? change_.build : owner_.current_build();
    for (const std::string& device : worker_devices(build->params)) {
        for (const uint64_t key : keys)
            new_workers_.push_back({key, device, build, 0, {}});
    }
    plan.workers_new = static_cast<uint32_t>(new_workers_.size());
    const uint32_t broken = put_broken_last();
    plan.workers_may_fail = broken < plan.workers_new ? broken : 0;
    std::map<uint64_t, size_t> seen;
    std::vector<std::pair<size_t, Slot*>> rounds;
    for (Slot* slot : old)
        rounds.emplace_back(seen[slot->model_key]++, slot);
    std::stable_sort(rounds.begin(), rounds.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [round, slot] : rounds) {
        plan.workers.push_back(slot->index);
        old_workers_[slot->index] = spec_of(*slot);
    }
}

// What takes the place of a worker that does not work now may fail, too, and a new model's worker
// on a GPU where others fail: a lost GPU stops no rollout. How many these are; they come last.
uint32_t RolloutRunner::put_broken_last() {
    auto end = new_workers_.end();
    for (const Slot* slot : fleet_.table().serving(shm::Role::kWorker)) {
        if (slot->process && slot->process->ready) continue;
        const auto is_its_place = [this, slot](const WorkerSpec& spec) {
            const uint64_t old_key = spec.model_key != 0 ? spec.model_key : base_.old_key;
            const bool concerns = old_key != 0 ? old_key == slot->model_key : is_gpu(slot->device);
            return concerns && spec.device == slot->device;
        };
        const auto found = std::find_if(new_workers_.begin(), end, is_its_place);
        if (found != end) end = std::rotate(found, found + 1, end);
    }
    return static_cast<uint32_t>(new_workers_.end() - end);
}

void RolloutRunner::note_old_model(const Model& model, RolloutPlan& plan) {
    plan.old_key = model.key;
    base_.old_key = model.key;
    base_.has_old = 1;
    base_.old_facts = model.message.facts;
    record_.old_path = model.source.path;
    record_.old_digest = std::string(shm::field_text(model.message.facts.digest));
}

void RolloutRunner::on_process_ready(Slot& slot) {
    if (!rollout_) return;
    const bool worker = slot.role == shm::Role::kWorker;
    later([this, worker, id = slot.index] {
        if (!rollout_ || rollout_->is_over()) return;
        const uint64_t now = monotonic_ns();
        worker ? rollout_->on_worker_ready(id, now) : rollout_->on_frontend_ready(id, now);
        if (!worker && tested_ && tester_ == 0) test_worker(*tested_);
    });
}

void RolloutRunner::on_process_gone(Slot& slot, const Verdict& verdict) {
    if (!rollout_) return;
    const bool worker = slot.role == shm::Role::kWorker;
    const bool vacant = slot.use == SlotUse::kVacant;
    const bool own = verdict.blame == Blame::kOwn;
    later([this, worker, vacant, own, id = slot.index, why = slot.name + ": " + verdict.reason] {
        if (!rollout_ || rollout_->is_over()) return;
        const uint64_t now = monotonic_ns();
        if (vacant && worker) rollout_->on_worker_gone(id, now);
        if (vacant || !own || rollout_->is_over()) return;
        worker ? rollout_->on_worker_failed(id, why, now)
               : rollout_->on_frontend_failed(id, why, now);
    });
    if (!worker && tested_ && fleet_.table().find(tester_) == nullptr) {
        later([this] {
            if (rollout_ && tested_) test_worker(*tested_);
        });
    }
    if (!worker) {
        std::erase_if(unreleased_, [this](uint64_t incarnation) {
            return fleet_.table().find(incarnation) == nullptr;
        });
        check_release();
    }
}

void RolloutRunner::on_model_progress(const Model& model, uint32_t percent) {
    if (rollout_ && model.key == new_key_) rollout_->on_load_progress(percent);
}

bool RolloutRunner::on_model_loaded(Model& model) {
    if (!rollout_ || model.key != new_key_) return false;
    base_.new_key = model.key;
    base_.has_new = 1;
    base_.new_facts = model.message.facts;
    base_.accuracy = 1;
    for (uint32_t i = 0; i < model.message.facts.accuracy_count; ++i)
        base_.accuracy = std::min(base_.accuracy, model.message.facts.accuracy[i].ratio);
    record_.new_path = model.source.path;
    const std::string digest(shm::field_text(model.message.facts.digest));
    const bool is_right = change_.digest.empty() || change_.digest == digest;
    const bool generates = model.message.facts.pooling == shm::Pooling::kNone;
    later([this, is_right, digest, generates] {
        if (!rollout_) return;
        if (generates) rollout_->ask_for_self_test();
        if (is_right) return rollout_->on_loaded(monotonic_ns());
        rollout_->on_refused(
            "the file is not what it was: expected digest " + change_.digest + ", found " + digest,
            monotonic_ns());
    });
    return true;
}

bool RolloutRunner::on_model_refused(Model& model) {
    if (!rollout_ || model.key != new_key_) return false;
    later([this, why = model.refusal] {
        if (rollout_) rollout_->on_refused(why, monotonic_ns());
    });
    return true;
}

Result<void> RolloutRunner::on_released(const Process& frontend, const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto released, message.as<shm::ModelKeyMessage>());
    if (released.model_key != releasing_key_) return {};  // of a rollout that was rolled back since
    unreleased_.erase(frontend.incarnation);
    check_release();
    return {};
}

void RolloutRunner::check_release() {
    if (releasing_key_ == 0 || !unreleased_.empty()) return;
    later([this, key = releasing_key_] {
        // An event before this one may have turned the rollout back, which awaits another model.
        if (!rollout_ || key != releasing_key_) return;
        releasing_key_ = 0;
        rollout_->on_released(monotonic_ns());
    });
}

Result<void> RolloutRunner::on_self_test_done(const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto done, message.as<shm::SelfTestDoneMessage>());
    if (!rollout_ || !tested_ || done.rollout != base_.number) return {};
    const Slot& slot = worker_slot(*tested_);
    // Of an incarnation that was killed meanwhile: the next one is tested for itself.
    if (!slot.process || slot.process->incarnation != done.worker) return {};
    tested_.reset();
    rollout_->on_tested(done.failed == 0, std::string(shm::field_text(done.text)), monotonic_ns());
    return {};
}

Result<void> RolloutRunner::on_canary_report(const Process& frontend, const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto report, message.as<shm::CanaryReportMessage>());
    if (!rollout_ || report.rollout != base_.number || report.stage != canary_.stage) return {};
    reports_[frontend.incarnation] = {report.completed, report.failed, report.different};
    CanaryTotals totals;
    for (const auto& [incarnation, part] : reports_) {
        totals.completed += part.completed;
        totals.failed += part.failed;
        totals.different += part.different;
    }
    totals.speed_ratio = speeds_.ratio(fleet_.table());
    if (totals.speed_ratio > 0) base_.speed_ratio = totals.speed_ratio;
    rollout_->on_canary(totals, monotonic_ns());
    return {};
}

uint64_t RolloutRunner::admitted() const {
    uint64_t sum = 0;
    for (const auto& slot : fleet_.table().slots(shm::Role::kFrontend)) {
        if (slot->process) {
            sum += slot->process->board.view->counter(Counter::kGenerationsAdmitted) +
                   slot->process->board.view->gauge(Gauge::kActiveRequests);
        }
    }
    return sum;
}

// Silence for a tenth of a stage: nothing asked, nothing running.
void RolloutRunner::on_tick(uint64_t now_ns) {
    if (!rollout_ || canary_.stage == shm::CanaryStage::kOff) return;
    const uint64_t asked = admitted();
    if (asked != stage_admitted_) {
        stage_admitted_ = asked;
        quiet_since_ns_ = now_ns;
        return;
    }
    if (now_ns - quiet_since_ns_ < rollout_->plan().canary_timeout_ns / 10) return;
    log::info("canary_unasked", {{"rollout", base_.number}});
    rollout_->on_idle(now_ns);
}

void RolloutRunner::run_due(uint64_t now_ns) {
    if (!rollout_) return;
    if (now_ns >= rollout_->deadline_ns()) rollout_->on_time(now_ns);
    if (releasing_key_ != 0 && now_ns >= release_deadline_ns_) {
        log::warn("release_timeout", {{"rollout", base_.number}, {"model_key", releasing_key_}});
        unreleased_.clear();
        check_release();
    }
}

uint64_t RolloutRunner::deadline_ns() const {
    if (!rollout_) return kNever;
    const uint64_t release = releasing_key_ != 0 ? release_deadline_ns_ : kNever;
    return std::min(rollout_->deadline_ns(), release);
}

std::optional<shm::RolloutMessage> RolloutRunner::running() const {
    if (!rollout_ || rollout_->is_over()) return std::nullopt;
    return message();
}

shm::RolloutMessage RolloutRunner::message() const {
    using shm::RolloutPhase;
    const uint64_t now = monotonic_ns();
    const auto ms = [&](RolloutPhase phase) { return rollout_->phase_ns(phase, now) / kNsPerMs; };
    shm::RolloutMessage message = base_;
    message.phase = rollout_->phase();
    message.outcome = rollout_->outcome();
    message.progress_permille = static_cast<uint32_t>(rollout_->progress() * 1000);
    message.prepare_ms = ms(RolloutPhase::kPrepare);
    message.verify_ms = ms(RolloutPhase::kVerify);
    message.canary_ms = ms(RolloutPhase::kCanaryCopies) + ms(RolloutPhase::kCanaryShare);
    message.roll_ms = ms(RolloutPhase::kRoll) + ms(RolloutPhase::kCommit);
    message.rollback_ms = rollout_->rollback_ns(now) / kNsPerMs;
    message.canary_copies = rollout_->copies().completed;
    message.canary_different = rollout_->copies().different;
    if (rollout_->is_over()) message.ended_unix_ms = unix_ms();
    shm::set_field(message.reason, rollout_->reason());
    return message;
}

void RolloutRunner::on_moved() {
    const shm::RolloutMessage now = message();
    if (!rollout_->is_over()) return owner_.on_rollout_moved(now);
    finish(now);
}

}  // namespace bitnetd::supervisor
