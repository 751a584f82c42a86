// Time and the end: ticks, deadlines, the phases of a shutdown, and what is said about it all.
#include "supervisor/lifecycle/supervisor.h"

#include <algorithm>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"

namespace bitnetd::supervisor {

Supervisor::Supervisor(uv_loop_t* loop, Settings settings, Executables programs,
                       Listeners listeners, uint64_t started_ns)
    : loop_(loop),
      settings_(std::move(settings)),
      programs_(std::move(programs)),
      listeners_(std::move(listeners)),
      started_ns_(started_ns),
      rings_(settings_.params.dispatch_request_ring_bytes,
             settings_.params.dispatch_token_ring_bytes),
      hang_judge_(settings_.params.server_heartbeat_interval_ms * kNsPerMs,
                  settings_.params.server_hang_timeout_ms * kNsPerMs),
      models_(std::make_unique<ModelStore>(loop, settings_, programs_.loader.get(),
                                           static_cast<ModelStoreOwner&>(*this))),
      tick_timer_(std::make_unique<Timer>(loop, [this] { on_tick(); })),
      deadline_timer_(std::make_unique<Timer>(loop, [this] { run_due(); })) {}

void Supervisor::on_tick() {
    const uint64_t now = monotonic_ns();
    own_board_.writer->heartbeat(now);
    hang_judge_.on_tick(now);
    check_hangs();
}

void Supervisor::run_due() {
    const uint64_t now = monotonic_ns();
    table_.for_each([&](Slot& slot) {
        if (slot.process) {
            slot.process->child->apply_signals(now);
        } else {
            start_due(slot, now);
        }
    });
    models_->apply_deadlines(now);
    update_health();
    arm_deadline();
}

// After every event: whatever it changed, the timer stands at the earliest deadline.
void Supervisor::arm_deadline() {
    const uint64_t next = std::min(table_.next_deadline_ns(), models_->deadline_ns());
    if (next == kNever) {
        deadline_timer_->stop();
        return;
    }
    const uint64_t now = monotonic_ns();
    // Rounded up, so that the timer does not fire just before the deadline and spin.
    deadline_timer_->start(next > now ? (next - now) / kNsPerMs + 1 : 0);
}

void Supervisor::on_terminate() {
    if (shutdown_.on_terminate()) enter_shutdown_phase();
}

void Supervisor::on_quit() {
    if (shutdown_.on_quit()) enter_shutdown_phase();
}

void Supervisor::enter_shutdown_phase() {
    const uint64_t now = monotonic_ns();
    const uint64_t grace_ns = settings_.params.server_kill_grace_ms * kNsPerMs;
    const uint64_t drain_ns = settings_.params.server_drain_timeout_ms * kNsPerMs;
    const auto drain = [](uint64_t deadline_ns) {
        return [deadline_ns](Process& process) {
            process.child->send(shm::MessageType::kDrain);
            process.child->life().on_drain(deadline_ns);
        };
    };
    switch (shutdown_.phase()) {
        case ShutdownPhase::kServing:
            return;
        case ShutdownPhase::kDrainingFrontends:
            log::info("draining", {{"timeout_ms", settings_.params.server_drain_timeout_ms}});
            own_board_.writer->set_state(shm::ProcessState::kDraining, now);
            listeners_.close_all();
            models_->cancel();
            // The grace on top lets a frontend end by itself what the time-out cut short.
            table_.for_each_running(shm::Role::kFrontend, drain(now + drain_ns + grace_ns));
            break;
        case ShutdownPhase::kDrainingWorkers:
            table_.for_each_running(shm::Role::kWorker, drain(now + grace_ns));
            break;
        case ShutdownPhase::kKilling:
            log::info("stopping_now");
            listeners_.close_all();
            models_->cancel();
            table_.for_each([&](Slot& slot) {
                if (!slot.process) return;
                slot.process->child->life().dismiss();
                slot.process->child->apply_signals(now);
            });
            break;
        case ShutdownPhase::kDone:
            own_board_.writer->set_state(shm::ProcessState::kStopped, now);
            log::info("stopped", {{"exit", exit_code_}});
            uv_stop(loop_);
            return;
    }
    // What was waiting for its restart and gets none now.
    table_.for_each([&](Slot& slot) {
        const bool replaced = slot.role == shm::Role::kFrontend ? shutdown_.replaces_frontends()
                                                                : shutdown_.replaces_workers();
        if (!replaced) slot.start_at_ns = kNever;
    });
    update_health();
    arm_deadline();
    count_the_living();
}

void Supervisor::count_the_living() {
    const size_t others = table_.running(shm::Role::kWorker) + (models_->loader_running() ? 1 : 0);
    if (shutdown_.on_count(table_.running(shm::Role::kFrontend), others)) enter_shutdown_phase();
}

void Supervisor::update_health() {
    HealthFacts facts;
    const size_t to_come =
        models_->count(ModelState::kWaiting) + models_->count(ModelState::kLoading);
    facts.models_loading = static_cast<uint32_t>(to_come);
    facts.workers_expected =
        static_cast<uint32_t>(table_.workers().size() + to_come * settings_.params.server_workers);
    facts.draining = !shutdown_.serving();
    for (const auto& slot : table_.workers()) {
        if (slot->recovering) ++facts.workers_restarting;
        if (slot->breaker_open) facts.breakers_open.push_back(slot->name + ": " + slot->last_end);
    }
    for (const Model& model : models_->models()) {
        if (model.state == ModelState::kRefused) {
            facts.models_refused.push_back(model.source.id + ": " + model.refusal);
        }
    }
    const shm::HealthMessage message = health_message(facts);
    if (same_health(message, health_told_)) return;
    health_told_ = message;
    table_.tell_frontends(shm::MessageType::kHealth, message);
}

void Supervisor::note_ready() {
    const bool settled =
        models_->count(ModelState::kWaiting) == 0 && models_->count(ModelState::kLoading) == 0;
    if (was_ready_ || !settled || table_.workers().empty() ||
        !table_.all_ready(shm::Role::kWorker) || !table_.all_ready(shm::Role::kFrontend)) {
        return;
    }
    was_ready_ = true;
    const uint64_t elapsed_ms = (monotonic_ns() - started_ns_) / kNsPerMs;
    log::info("ready", {{"seconds", static_cast<double>(elapsed_ms) / 1000},
                        {"models", models_->count(ModelState::kLoaded)},
                        {"workers", table_.workers().size()},
                        {"frontends", table_.frontends().size()}});
}

std::vector<InspectEntry> Supervisor::inspect() const {
    std::vector<InspectEntry> entries;
    const auto add_board = [&](const BoardHold& board, uint64_t incarnation,
                               const std::string& name) {
        if (auto fd = shm::reopen_read_only(board.fd.get()); fd.ok()) {
            entries.push_back(
                {inspect_item(incarnation, InspectKind::kBoard, true, name), std::move(*fd)});
        }
    };
    add_board(own_board_, own_board_.view->incarnation(), "supervisor/0");
    for (const auto* slots : {&table_.frontends(), &table_.workers()}) {
        for (const auto& slot : *slots) {
            if (slot->process) {
                add_board(slot->process->board, slot->process->incarnation, slot->name);
            }
        }
    }
    rings_.list(entries);
    archive_.list(entries);
    return entries;
}

}  // namespace bitnetd::supervisor
