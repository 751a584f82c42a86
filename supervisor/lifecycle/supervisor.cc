// Start, time and the end: ticks, deadlines, the phases of a shutdown, and what is said about it.
#include "supervisor/lifecycle/supervisor.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "supervisor/lifecycle/handover/systemd_link.h"
#include "supervisor/lifecycle/settings/worker_devices.h"

namespace bitnetd::supervisor {
namespace {

// Told again with every heartbeat.
constexpr uint64_t kPatienceUs = 30'000'000;

}  // namespace

Supervisor::Supervisor(uv_loop_t* loop, Parts parts)
    : settings_(std::move(parts.settings)),
      log_level_(settings_.params.log_level),
      reread_(std::move(parts.reread)),
      self_(std::move(parts.self)),
      estate_(std::move(parts.estate)),
      log_file_(std::move(parts.log_file)),
      listeners_(std::move(parts.listeners)),
      started_ns_(parts.started_ns),
      models_(loop, static_cast<ModelStoreOwner&>(*this)),
      fleet_(loop, settings_.params, static_cast<FleetOwner&>(*this)),
      rollouts_(loop, fleet_, models_, static_cast<RolloutOwner&>(*this)),
      tick_timer_(std::make_unique<Timer>(loop, [this] { on_tick(); })),
      deadline_timer_(std::make_unique<Timer>(loop, [this] { run_due(); })),
      loop_(loop) {
    auto programs = std::make_shared<const Executables>(std::move(parts.programs));
    use_build(std::make_shared<const Build>(Build{1, std::move(programs), settings_.params}));
}

Result<void> Supervisor::start() {
    BITNETD_TRY(rollouts_.history().open(settings_.params.server_state_dir));
    BITNETD_TRY(fleet_.make_own_board(started_ns_));
    // All slots before the first start: a successor starts what it finds a slot for.
    std::vector<Slot*> frontends;
    for (uint32_t i = 0; i < settings_.params.server_frontends; ++i)
        frontends.push_back(&fleet_.open_slot(shm::Role::kFrontend, build_));
    for (Slot* slot : frontends)
        fleet_.start(*slot);
    for (const ModelSource& source : settings_.models) {
        models_.add(source, std::make_shared<const Params>(settings_.params),
                    shm::ModelStanding::kServing);
    }
    arm_tick();
    models_.load_next();
    update_health();
    arm_deadline();
    return {};
}

void Supervisor::use_build(std::shared_ptr<const Build> build) {
    build_ = std::move(build);
    models_.use_loader(build_->programs->loader.get());
}

void Supervisor::on_tick() {
    const uint64_t now = monotonic_ns();
    fleet_.on_tick(now, tick_ms_ * kNsPerMs);
    rollouts_.on_tick(now);
    tell_systemd(now);
    arm_tick();
}

// The interval changes with a reload, and once more when the last process of before has left.
void Supervisor::arm_tick() {
    const uint64_t wanted_ms = fleet_.tick_ms();
    if (wanted_ms == tick_ms_) return;
    tick_ms_ = wanted_ms;
    tick_timer_->start(tick_ms_, tick_ms_);
}

// While models load, streams end or a tool waits for a change systemd waits as long as it takes:
// each has its own limit.
void Supervisor::tell_systemd(uint64_t now_ns) {
    if (now_ns >= watchdog_due_ns_) {
        systemd::watchdog();
        watchdog_due_ns_ = now_ns + systemd::watchdog_interval_ns() / 2;
    }
    const ShutdownPhase phase = shutdown_.phase();
    const bool starts = !was_ready_ && phase == ShutdownPhase::kServing;
    const bool drains =
        phase == ShutdownPhase::kDrainingFrontends || phase == ShutdownPhase::kDrainingWorkers;
    if (starts || drains || !watchers_.empty()) systemd::extend_timeout(kPatienceUs);
}

void Supervisor::run_due() {
    const uint64_t now = monotonic_ns();
    fleet_.run_due(now);
    models_.apply_deadlines(now);
    rollouts_.run_due(now);
    update_health();
    arm_deadline();
}

// After every event: whatever it changed, the timer stands at the earliest deadline.
void Supervisor::arm_deadline() {
    const uint64_t next =
        std::min({fleet_.next_deadline_ns(), models_.deadline_ns(), rollouts_.deadline_ns()});
    if (next == kNever) {
        deadline_timer_->stop();
        return;
    }
    const uint64_t now = monotonic_ns();
    // Rounded up, so that the timer does not fire just before the deadline and spin. Never 0: libuv
    // runs timers until none is due, and nothing else before that.
    deadline_timer_->start(next > now ? (next - now) / kNsPerMs + 1 : 1);
}

void Supervisor::on_terminate() {
    if (shutdown_.on_terminate()) enter_shutdown_phase();
}

void Supervisor::on_quit() {
    if (shutdown_.on_quit()) enter_shutdown_phase();
}

void Supervisor::enter_shutdown_phase() {
    if (upgrade_) end_upgrade("upgrade_refused", "the server is stopping");
    const uint64_t now = monotonic_ns();
    const Params& params = settings_.params;
    const uint64_t grace_ns = params.server_kill_grace_ms * kNsPerMs;
    switch (shutdown_.phase()) {
        case ShutdownPhase::kServing:
            return;
        case ShutdownPhase::kDrainingFrontends:
            log::info("draining", {{"timeout_ms", params.server_drain_timeout_ms}});
            systemd::stopping("finishing what runs");
            fleet_.own_board().writer->set_state(shm::ProcessState::kDraining, now);
            listeners_.close_all();
            rollouts_.abandon();
            models_.cancel();
            update_health();
            // The grace on top lets a frontend end by itself what the time-out cut short.
            fleet_.drain(shm::Role::kFrontend,
                         now + params.server_drain_timeout_ms * kNsPerMs + grace_ns);
            break;
        case ShutdownPhase::kDrainingWorkers:
            fleet_.drain(shm::Role::kWorker, now + grace_ns);
            break;
        case ShutdownPhase::kKilling:
            log::info("stopping_now");
            listeners_.close_all();
            rollouts_.abandon();
            models_.cancel();
            fleet_.dismiss_all();
            break;
        case ShutdownPhase::kDone:
            fleet_.own_board().writer->set_state(shm::ProcessState::kStopped, now);
            if (auto left = estate_.leave_nothing(); !left.ok()) {
                log::error("state_not_removed", {{"error", left.error().message}});
            }
            log::info("stopped", {{"exit", exit_code_}});
            uv_stop(loop_);
            return;
    }
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        if (!replaces(role)) fleet_.forget_restarts(role);
    }
    update_health();
    arm_deadline();
    count_the_living();
}

void Supervisor::count_the_living() {
    const ChildTable& table = fleet_.table();
    const size_t others = table.running(shm::Role::kWorker) + (models_.loader_running() ? 1 : 0);
    if (shutdown_.on_count(table.running(shm::Role::kFrontend), others)) enter_shutdown_phase();
}

void Supervisor::update_health() {
    HealthFacts facts;
    size_t to_come = 0;
    for (const auto& model : models_.models()) {
        if (model->message.standing != shm::ModelStanding::kServing) continue;  // a rollout's
        const bool comes =
            model->state == ModelState::kWaiting || model->state == ModelState::kLoading;
        if (comes) ++to_come;
        if (model->state == ModelState::kRefused) {
            facts.models_refused.push_back(model->source.id + ": " + model->refusal);
        }
    }
    const auto workers = fleet_.table().serving(shm::Role::kWorker);
    facts.models_loading = static_cast<uint32_t>(to_come);
    facts.workers_expected =
        static_cast<uint32_t>(workers.size() + to_come * worker_devices(settings_.params).size());
    facts.draining = !shutdown_.serving();
    for (const Slot* slot : workers) {
        if (slot->recovering) ++facts.workers_restarting;
        if (slot->breaker_open) facts.breakers_open.push_back(slot->name + ": " + slot->last_end);
    }
    const shm::HealthMessage message = health_message(facts);
    if (same_health(message, health_told_)) return;
    health_told_ = message;
    if (was_ready_ && shutdown_.serving()) systemd::status(status_line());
    fleet_.table().tell_frontends(shm::MessageType::kHealth, message);
}

void Supervisor::note_ready() {
    const ChildTable& table = fleet_.table();
    const bool settled =
        models_.count(ModelState::kWaiting) == 0 && models_.count(ModelState::kLoading) == 0;
    std::vector<uint64_t> served;
    for (const auto& model : models_.models()) {
        if (model->is_loaded()) served.push_back(model->key);
    }
    if (was_ready_ || !shutdown_.serving() || !settled || served.empty() ||
        !table.workers_settled(served) || !table.all_ready(shm::Role::kFrontend)) {
        return;
    }
    was_ready_ = true;
    const uint64_t elapsed_ms = (monotonic_ns() - started_ns_) / kNsPerMs;
    log::info("ready", {{"seconds", static_cast<double>(elapsed_ms) / 1000},
                        {"models", models_.count(ModelState::kLoaded)},
                        {"workers", table.serving(shm::Role::kWorker).size()},
                        {"frontends", table.serving(shm::Role::kFrontend).size()}});
    systemd::ready(status_line());
    save_state();
}

}  // namespace bitnetd::supervisor
