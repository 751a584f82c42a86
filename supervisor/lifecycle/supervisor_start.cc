// Making processes: slots, their shared memory, and what each child is told before kStart.
#include <csignal>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "shm/ring/doorbell.h"
#include "supervisor/lifecycle/model/kv_size.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

RestartLimits restart_limits(const Params& params) {
    RestartLimits limits;
    limits.backoff_ns = params.server_restart_backoff_ms * kNsPerMs;
    limits.backoff_max_ns = 100 * limits.backoff_ns;
    limits.breaker_deaths = static_cast<uint32_t>(params.server_restart_breaker_deaths);
    limits.breaker_window_ns = params.server_restart_breaker_window_ms * kNsPerMs;
    limits.breaker_pause_ns = params.server_restart_breaker_pause_ms * kNsPerMs;
    return limits;
}

shm::BoardMessage board_message(const BoardHold& board, bool gone) {
    shm::BoardMessage message{};
    message.incarnation = board.view->incarnation();
    message.role = static_cast<uint32_t>(board.view->role());
    message.slot = board.view->slot();
    message.gone = gone ? 1 : 0;
    return message;
}

void send_board(Child& child, const BoardHold& board) {
    const int fds[] = {board.read_only.get()};
    child.send(shm::MessageType::kBoard, board_message(board, false), fds);
}

void send_model(Child& frontend, const Model& model) {
    const int fds[] = {model.vocabulary.get()};
    frontend.send(shm::MessageType::kModel, model.message, fds);
}

// CPU workers share one machine-wide pool of cores, split by slot; see design.md "Processes".
constexpr const char* kCpuDevice = "cpu:0";

}  // namespace

Result<void> Supervisor::start() {
    const uint64_t now = monotonic_ns();
    BITNETD_ASSIGN(own_board_,
                   BoardHold::make({shm::Role::kSupervisor, 0, next_incarnation_++, ""}, nullptr));
    own_board_.writer->set_pid(static_cast<uint32_t>(getpid()));
    own_board_.writer->set_started(started_ns_);
    BITNETD_ASSIGN(shm::ProcessUsage usage, shm::ProcessUsage::open());
    own_board_.writer->show_usage(std::move(usage));
    own_board_.writer->heartbeat(now);
    own_board_.writer->set_state(shm::ProcessState::kReady, now);

    const Params& params = settings_.params;
    for (uint32_t i = 0; i < params.server_frontends; ++i) {
        Slot& slot = table_.add(
            std::make_unique<Slot>(shm::Role::kFrontend, i, restart_limits(params), now + i));
        BITNETD_TRY(start_process(slot));
    }
    tick_timer_->start(params.server_heartbeat_interval_ms, params.server_heartbeat_interval_ms);
    models_->load_all();
    update_health();
    arm_deadline();
    return {};
}

void Supervisor::start_due(Slot& slot, uint64_t now_ns) {
    if (slot.process || slot.start_at_ns > now_ns) return;
    slot.start_at_ns = kNever;
    auto started = start_process(slot);
    if (started.ok()) return;
    // The machine refused (no memory, no descriptors): as a death at birth, so that it backs off.
    slot.process.reset();
    const auto decision = slot.restarts.on_death(Blame::kOwn, 0, now_ns);
    slot.start_at_ns = decision.start_at_ns;
    slot.breaker_open = decision.breaker_open;
    slot.recovering = true;
    slot.last_end = started.error().message;
    log::error("start_failed", {{"child", slot.name},
                                {"error", started.error().message},
                                {"retry_ms", (decision.start_at_ns - now_ns) / kNsPerMs}});
}

SpawnPlan Supervisor::spawn_plan(const Slot& slot) const {
    SpawnPlan plan;
    plan.core_dumps = settings_.params.server_core_dumps == 1;
    // Without systemd nobody else would end them when the supervisor dies.
    plan.parent_death_signal = SIGTERM;
    if (slot.role == shm::Role::kFrontend) {
        plan.program = programs_.frontend.get();
        plan.args = {"bitnetd-frontend", "--slot", std::to_string(slot.index)};
        plan.oom_score_adj = 100;
    } else {
        plan.program = programs_.worker.get();
        plan.args = {"bitnetd-worker", "--device", kCpuDevice, "--model",
                     settings_.models[slot.model_index].id};
        plan.oom_score_adj = 300;
        // Where cores are short the frontend goes first: it needs little, and tokens that wait for
        // it would reach clients in lumps.
        plan.nice = 5;
    }
    return plan;
}

Result<void> Supervisor::start_process(Slot& slot) {
    auto process = std::make_unique<Process>();
    process->role = slot.role;
    process->slot = slot.index;
    process->incarnation = next_incarnation_++;
    if (slot.role == shm::Role::kWorker) {
        BITNETD_TRY(make_kv_arena(slot));
        process->device = kCpuDevice;
        process->model_key = models_->models()[slot.model_index].message.model_key;
    }
    BITNETD_ASSIGN(process->board,
                   BoardHold::make({slot.role, slot.index, process->incarnation, process->device},
                                   slot.last_board ? &*slot.last_board : nullptr));
    BITNETD_ASSIGN(process->doorbell, shm::Doorbell::create());
    const LifeLimits limits{settings_.params.server_worker_start_timeout_ms * kNsPerMs,
                            settings_.params.server_kill_grace_ms * kNsPerMs};
    BITNETD_ASSIGN(process->child, Child::start(loop_, spawn_plan(slot), slot.name,
                                                process->incarnation, limits, *this));
    process->board.writer->set_pid(static_cast<uint32_t>(process->child->pid()));
    process->board.writer->set_started(process->child->life().started_ns());
    slot.process = std::move(process);
    own_board_.writer->count(slot.role == shm::Role::kWorker ? Counter::kWorkerStarts
                                                             : Counter::kFrontendStarts);
    log::info(slot.role == shm::Role::kWorker ? "worker_started" : "frontend_started",
              {{shm::to_string(slot.role), slot.index},
               {"pid", slot.process->child->pid()},
               {"incarnation", slot.process->incarnation}});
    send_setup(slot, *slot.process);
    announce_board(slot);
    slot.last_board.reset();
    return {};
}

void Supervisor::send_setup(Slot& slot, Process& process) {
    Child& child = *process.child;
    const shm::SelfMessage self{process.incarnation, slot.index, 0};
    const int own[] = {process.board.fd.get(), process.doorbell.get()};
    child.send(shm::MessageType::kSelf, self, own);
    child.send_text(shm::MessageType::kSettings, print_settings(settings_.params));
    if (slot.role == shm::Role::kWorker) {
        const Model& model = models_->models()[slot.model_index];
        const int weights[] = {model.weights.get()};
        child.send(shm::MessageType::kWeights, model.message, weights);
        const int arena[] = {slot.kv_arena.get()};
        child.send(shm::MessageType::kKvArena, shm::KvArenaMessage{slot.kv_bytes}, arena);
    } else {
        for (const auto& listener : listeners_.all()) {
            shm::ListenMessage message{};
            shm::set_field(message.address, listener.address);
            const int socket[] = {listener.socket.get()};
            child.send(shm::MessageType::kListen, message, socket);
        }
        send_board(child, own_board_);
        table_.for_each([&](Slot& other) {
            if (&other == &slot) return;  // it has its own already
            if (other.process) {
                send_board(child, other.process->board);
            } else if (other.last_board) {
                send_board(child, *other.last_board);
            }
        });
        for (const Model& model : models_->models()) {
            if (model.state == ModelState::kLoaded) send_model(child, model);
        }
        child.send(shm::MessageType::kHealth, health_told_);
    }
    child.send(shm::MessageType::kStart);
}

// Tells the other frontends of the slot's new board; the old one's counters live on in it.
void Supervisor::announce_board(const Slot& slot) {
    table_.for_each_running(shm::Role::kFrontend, [&](Process& frontend) {
        if (frontend.incarnation == slot.process->incarnation) return;
        if (slot.last_board) {
            frontend.child->send(shm::MessageType::kBoard, board_message(*slot.last_board, true));
        }
        send_board(*frontend.child, slot.process->board);
    });
}

void Supervisor::on_model_loaded(size_t model_index) {
    if (!shutdown_.serving()) return;
    const Model& model = models_->models()[model_index];
    table_.for_each_running(shm::Role::kFrontend,
                            [&](Process& frontend) { send_model(*frontend.child, model); });
    prepare_workers(model_index);
    update_health();
    arm_deadline();
}

void Supervisor::prepare_workers(size_t model_index) {
    const Params& params = settings_.params;
    const Model& model = models_->models()[model_index];
    const KvSize size = kv_size(params, model.message.facts, available_memory_bytes(),
                                params.server_workers * settings_.models.size());
    log::info("kv_arena", {{"id", model.source.id},
                           {"bytes_per_worker", size.bytes},
                           {"tokens", size.bytes / size.token_bytes},
                           {"wanted_bytes", size.wanted_bytes},
                           {"capped", size.bytes < size.wanted_bytes}});
    const uint64_t now = monotonic_ns();
    for (uint64_t i = 0; i < params.server_workers; ++i) {
        const auto index = static_cast<uint32_t>(table_.workers().size());
        Slot& slot = table_.add(
            std::make_unique<Slot>(shm::Role::kWorker, index, restart_limits(params), now + index));
        slot.model_index = model_index;
        slot.kv_bytes = size.bytes;
        slot.start_at_ns = now;
        start_due(slot, now);
    }
}

// Once per slot; costs address space only: pages come when the worker writes them.
Result<void> Supervisor::make_kv_arena(Slot& slot) {
    if (slot.kv_arena) return {};
    const bool reserved = settings_.params.memory_huge_pages == "reserved";
    BITNETD_ASSIGN(shm::Arena arena, shm::create_arena(slot.kv_bytes, reserved));
    BITNETD_TRY(shm::seal_size(arena.fd.get()));
    if (reserved && !arena.is_reserved) {
        log::warn("huge_pages_missing", {{"worker", slot.index},
                                         {"wanted_bytes", slot.kv_bytes},
                                         {"used", "transparent"},
                                         {"hint", "raise vm.nr_hugepages"}});
    }
    slot.kv_arena = std::move(arena.fd);
    return {};
}

}  // namespace bitnetd::supervisor
