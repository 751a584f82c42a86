// What the fleet, the loaders and the rollouts report.
#include <algorithm>

#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/model/kv_size.h"
#include "supervisor/lifecycle/settings/worker_devices.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {

void Supervisor::send_model(Child& frontend, const Model& model) {
    const int fds[] = {model.vocabulary.get()};
    frontend.send(shm::MessageType::kModel, model.message, fds);
}

void Supervisor::on_process_ready(Slot& slot) {
    rollouts_.on_process_ready(slot);
    update_health();
    note_ready();
}

void Supervisor::on_process_gone(Slot& slot, const Verdict& verdict) {
    rollouts_.on_process_gone(slot, verdict);
    update_health();
    note_ready();
    count_the_living();
}

Result<void> Supervisor::on_frontend_message(Process& frontend, shm::Message& message) {
    switch (message.type) {
        case shm::MessageType::kModelReleased:
            return rollouts_.on_released(frontend, message);
        case shm::MessageType::kCanaryReport:
            return rollouts_.on_canary_report(frontend, message);
        case shm::MessageType::kSelfTestDone:
            return rollouts_.on_self_test_done(message);
        case shm::MessageType::kOrder: {
            BITNETD_TRY(message.expect_fds(0));
            BITNETD_ASSIGN(const auto order, message.as<shm::OrderMessage>());
            frontend.child->send(shm::MessageType::kOrderAnswer,
                                 take_order(order, /*anywhere=*/false));
            return {};
        }
        default:
            return invalid("message type " + std::to_string(static_cast<int>(message.type)) +
                           " is not a frontend's to send");
    }
}

void Supervisor::send_frontend_setup(Child& frontend, const Build& build) {
    for (const auto& listener : listeners_.all()) {
        if (is_withheld(listener.asked, build)) continue;
        shm::ListenMessage message{};
        shm::set_field(message.address, listener.address);
        const int socket[] = {listener.socket.get()};
        frontend.send(shm::MessageType::kListen, message, socket);
    }
    for (const auto& model : models_.models()) {
        if (model->is_loaded()) send_model(frontend, *model);
    }
    frontend.send(shm::MessageType::kHealth, health_told_);
    const auto& records = rollouts_.history().records();
    for (auto record = records.rbegin(); record != records.rend(); ++record)
        frontend.send(shm::MessageType::kRollout, record->message);
    rollouts_.send_setup(frontend);
}

bool Supervisor::replaces(shm::Role role) const {
    return role == shm::Role::kFrontend ? shutdown_.replaces_frontends()
                                        : shutdown_.replaces_workers();
}

void Supervisor::on_model_progress(const Model& model, uint32_t percent) {
    rollouts_.on_model_progress(model, percent);
}

void Supervisor::on_model_loaded(Model& model) {
    if (!shutdown_.serving()) return;
    save_state();
    fleet_.table().for_each_running(shm::Role::kFrontend,
                                    [&](Process& frontend) { send_model(*frontend.child, model); });
    if (!rollouts_.on_model_loaded(model)) start_workers(model);
    update_health();
    arm_deadline();
}

void Supervisor::on_model_refused(Model& model) {
    rollouts_.on_model_refused(model);
    update_health();
}

void Supervisor::on_models_settled() {
    const bool none = models_.count(ModelState::kLoaded) == 0;
    if (!was_ready_ && none && shutdown_.serving() && rollouts_.is_idle()) {
        log::error("no_model", {{"error", "no model could be loaded; there is nothing to serve"}});
        exit_code_ = kExitModelRefused;
        on_terminate();
        return;
    }
    note_ready();
    update_health();
    arm_deadline();
    count_the_living();
}

uint64_t Supervisor::kv_bytes_of(const Model& model, const Params& params) const {
    const KvSize size =
        kv_size(params, model.message.facts, available_memory_bytes(),
                params.server_workers * std::max<size_t>(settings_.models.size(), 1));
    log::info("kv_arena", {{"id", model.source.id},
                           {"bytes_per_worker", size.bytes},
                           {"tokens", size.bytes / size.token_bytes},
                           {"wanted_bytes", size.wanted_bytes},
                           {"capped", size.bytes < size.wanted_bytes}});
    return size.bytes;
}

void Supervisor::start_workers(Model& model) {
    const uint64_t bytes = kv_bytes_of(model, settings_.params);
    std::vector<Slot*> slots;  // all of them before the first start, as in start()
    const auto nobody_leaves = [](const Slot&) { return false; };
    for (std::string& device : worker_devices(settings_.params)) {
        const CoreShare cores =
            fleet_.free_share(models_.core_shares(settings_.params), nobody_leaves);
        Slot& slot = fleet_.open_slot(shm::Role::kWorker, build_);
        slot.cores = cores;
        slot.model_key = model.key;
        slot.device = std::move(device);
        slot.kv_bytes = bytes;
        slots.push_back(&slot);
    }
    for (Slot* slot : slots)
        fleet_.start(*slot);
}

void Supervisor::count_rollout(shm::RolloutOutcome outcome) {
    shm::BoardWriter& board = *fleet_.own_board().writer;
    board.set_gauge(Gauge::kRolloutsRunning, outcome == shm::RolloutOutcome::kRunning);
    if (outcome == shm::RolloutOutcome::kCompleted) board.count(Counter::kRolloutsCompleted);
    if (outcome == shm::RolloutOutcome::kRolledBack) board.count(Counter::kRolloutsRolledBack);
    if (outcome == shm::RolloutOutcome::kFailed) board.count(Counter::kRolloutsFailed);
}

void Supervisor::on_rollout_moved(const shm::RolloutMessage& message) {
    count_rollout(message.outcome);
    fleet_.table().tell_frontends(shm::MessageType::kRollout, message);
    tell_watchers(message);
    if (message.number == repair_) cut_off_.reset();
    note_reload_progress(message);
    if (message.outcome == shm::RolloutOutcome::kCompleted) {
        models_.forget_refused(settings_.models);
        choose_default();
    }
    save_state();
    update_health();
    arm_deadline();
}

}  // namespace bitnetd::supervisor
