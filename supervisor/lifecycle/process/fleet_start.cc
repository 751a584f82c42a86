// Making processes: their shared memory, and what each child is told before kStart.
#include <csignal>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "shm/ring/doorbell.h"
#include "supervisor/lifecycle/process/fleet.h"
#include "supervisor/lifecycle/settings/worker_devices.h"

namespace bitnetd::supervisor {
namespace {

shm::BoardMessage board_message(const BoardHold& board, bool gone) {
    shm::BoardMessage message{};
    message.incarnation = board.view->incarnation();
    message.role = static_cast<uint32_t>(board.view->role());
    message.slot = board.view->slot();
    message.gone = gone ? 1 : 0;
    return message;
}

}  // namespace

void Fleet::send_board(Child& child, const BoardHold& board) {
    const int fds[] = {board.read_only.get()};
    child.send(shm::MessageType::kBoard, board_message(board, false), fds);
}

void Fleet::start_due(Slot& slot, uint64_t now_ns) {
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
    ++slot.deaths;
    slot.last_end = started.error().message;
    log::error("start_failed", {{"child", slot.name},
                                {"error", started.error().message},
                                {"retry_ms", (decision.start_at_ns - now_ns) / kNsPerMs}});
    owner_.on_process_gone(slot, {Blame::kOwn, shm::PeerEnd::kOwnFault, slot.last_end});
}

SpawnPlan Fleet::spawn_plan(const Slot& slot) const {
    const Params& params = slot.build->params;
    SpawnPlan plan;
    plan.core_dumps = params.server_core_dumps == 1;
    // Where no successor comes, nobody else would end them.
    if (!owner_.outlived_by_children()) plan.parent_death_signal = SIGTERM;
    if (slot.role == shm::Role::kFrontend) {
        plan.program = slot.build->programs->frontend.get();
        plan.args = {"bitnetd-frontend", "--slot", std::to_string(slot.index)};
        plan.oom_score_adj = 100;
    } else {
        const bool gpu = is_gpu(slot.device);
        const Executables& programs = *slot.build->programs;
        plan.program = gpu ? programs.worker_cuda.get() : programs.worker.get();
        plan.args = {gpu ? "bitnetd-worker-cuda" : "bitnetd-worker", "--device", slot.device,
                     "--model", owner_.model_of(slot.model_key)->source.id};
        plan.oom_score_adj = 300;
        // Where cores are short the frontend goes first: it needs little, and tokens that wait for
        // it would reach clients in lumps.
        plan.nice = 5;
    }
    return plan;
}

Result<void> Fleet::start_process(Slot& slot) {
    auto process = std::make_unique<Process>();
    process->role = slot.role;
    process->slot = slot.index;
    process->incarnation = ++last_incarnation_;
    if (slot.role == shm::Role::kWorker) {
        if (owner_.model_of(slot.model_key) == nullptr) return invalid("its model is gone");
        BITNETD_TRY(check_program_for(*slot.build->programs, slot.device));
        if (!is_gpu(slot.device)) BITNETD_TRY(make_kv_arena(slot));  // a GPU has memory of its own
        process->device = slot.device;
        process->model_key = slot.model_key;
        process->is_canary = slot.is_canary;
    }
    BITNETD_ASSIGN(process->board,
                   BoardHold::make({slot.role, slot.index, process->incarnation, process->device},
                                   slot.last_board ? &*slot.last_board : nullptr));
    BITNETD_ASSIGN(process->doorbell, shm::Doorbell::create());
    const LifeLimits limits{params_.server_worker_start_timeout_ms * kNsPerMs,
                            params_.server_kill_grace_ms * kNsPerMs};
    BITNETD_ASSIGN(process->child, Child::start(loop_, spawn_plan(slot), slot.name,
                                                process->incarnation, limits, *this));
    process->board.writer->set_pid(static_cast<uint32_t>(process->child->pid()));
    process->board.writer->set_started(process->child->life().started_ns());
    slot.process = std::move(process);
    const bool worker = slot.role == shm::Role::kWorker;
    own_board_.writer->count(worker ? Counter::kWorkerStarts : Counter::kFrontendStarts);
    log::info(worker ? "worker_started" : "frontend_started",
              {{shm::to_string(slot.role), slot.index},
               {"pid", slot.process->child->pid()},
               {"incarnation", slot.process->incarnation}});
    owner_.save_state();
    send_setup(slot, *slot.process);
    announce_board(slot);
    slot.last_board.reset();
    return {};
}

void Fleet::send_setup(Slot& slot, Process& process) {
    Child& child = *process.child;
    const shm::SelfMessage self{process.incarnation, slot.index, slot.cores.index, slot.cores.count,
                                slot.cores.is_shared ? 1u : 0u};
    const int own[] = {process.board.fd.get(), process.doorbell.get()};
    child.send(shm::MessageType::kSelf, self, own);
    Params params = slot.build->params;
    params.log_level = owner_.log_level();
    child.send_text(shm::MessageType::kSettings, print_settings(params));
    send_board(child, own_board_);
    if (slot.role == shm::Role::kWorker) {
        const Model& model = *owner_.model_of(slot.model_key);
        const int weights[] = {model.weights.get()};
        child.send(shm::MessageType::kWeights, model.message, weights);
        if (slot.kv_arena) {
            const int arena[] = {slot.kv_arena.get()};
            child.send(shm::MessageType::kKvArena, shm::KvArenaMessage{slot.kv_bytes}, arena);
        }
    } else {
        table_.for_each([&](Slot& other) {
            if (&other == &slot) return;  // it has its own already
            if (other.process) {
                send_board(child, other.process->board);
            } else if (other.last_board) {
                send_board(child, *other.last_board);
            }
        });
        owner_.send_frontend_setup(child, *slot.build);
    }
    child.send(shm::MessageType::kStart);
}

// Tells the other frontends of the slot's new board; the old one's counters live on in it.
void Fleet::announce_board(const Slot& slot) {
    table_.for_each_running(shm::Role::kFrontend, [&](Process& frontend) {
        if (frontend.incarnation == slot.process->incarnation) return;
        if (slot.last_board) {
            frontend.child->send(shm::MessageType::kBoard, board_message(*slot.last_board, true));
        }
        send_board(*frontend.child, slot.process->board);
    });
}

// Once per slot and use; costs address space only: pages come when the worker writes them.
Result<void> Fleet::make_kv_arena(Slot& slot) {
    if (slot.kv_arena) return {};
    const bool reserved = slot.build->params.memory_huge_pages == "reserved";
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
