// What children say and how they end: introductions, fencing, burial, restart.
#include <algorithm>
#include <csignal>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

const char* event_name(shm::Role role, const char* worker, const char* frontend) {
    return role == shm::Role::kWorker ? worker : frontend;
}

}  // namespace

void Supervisor::on_message(Child& child, shm::Message& message) {
    Slot* slot = table_.find(child.incarnation());
    if (slot == nullptr) return;  // between its exit and its burial: nothing it says counts
    if (message.type != shm::MessageType::kReady) {
        child.reject(invalid("message type " + std::to_string(static_cast<int>(message.type)) +
                             " is not this child's to send"));
        return;
    }
    if (auto taken = take_ready(*slot, message); !taken.ok()) child.reject(taken.error());
    update_health();
    arm_deadline();
}

Result<void> Supervisor::take_ready(Slot& slot, const shm::Message& message) {
    Process& process = *slot.process;
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto ready, message.as<shm::ReadyMessage>());
    const bool worker = slot.role == shm::Role::kWorker;
    if (worker && (ready.slots_max < 1 || ready.slots_max > shm::kStepPlanMax)) {
        return invalid("READY with slots_max " + std::to_string(ready.slots_max));
    }
    // Told to end while it was starting: it comes too late to be introduced to anyone.
    if (process.child->life().phase() == ChildPhase::kDraining) return {};
    if (!process.child->life().on_ready()) return invalid("READY in the wrong phase");
    process.ready = true;
    process.slots_max = ready.slots_max;
    slot.recovering = false;
    slot.breaker_open = false;
    const uint64_t start_ms = (monotonic_ns() - process.child->life().started_ns()) / kNsPerMs;
    if (worker) {
        log::info("worker_ready", {{"worker", slot.index},
                                   {"pid", process.child->pid()},
                                   {"incarnation", process.incarnation},
                                   {"model", settings_.models[slot.model_index].id},
                                   {"isa", shm::field_text(ready.kernel_isa)},
                                   {"slots", ready.slots_max},
                                   {"start_ms", start_ms}});
    } else {
        log::info("frontend_ready", {{"frontend", slot.index},
                                     {"pid", process.child->pid()},
                                     {"incarnation", process.incarnation},
                                     {"start_ms", start_ms}});
    }
    introduce(process);
    note_ready();
    return {};
}

// Gives the new one rings with everyone of the other kind who is ready.
void Supervisor::introduce(Process& process) {
    const bool is_worker = process.role == shm::Role::kWorker;
    const auto other = is_worker ? shm::Role::kFrontend : shm::Role::kWorker;
    const auto frontends = static_cast<uint32_t>(settings_.params.server_frontends);
    table_.for_each_running(other, [&](Process& peer) {
        if (!peer.ready || peer.fenced || process.fenced) return;
        Process& worker = is_worker ? process : peer;
        Process& frontend = is_worker ? peer : process;
        const uint32_t credits = std::max(worker.slots_max / frontends, 1u);
        auto connected = rings_.connect(frontend, worker, credits);
        // Without rings the new one is of no use; its restart tries again after a pause.
        if (!connected.ok()) process.child->reject(connected.error());
    });
}

void Supervisor::fence(Process& process, shm::PeerEnd end) {
    if (!process.ready || process.fenced) return;
    process.fenced = true;
    const shm::PeerGoneMessage message{process.incarnation, process.slot, end};
    const auto peers =
        process.role == shm::Role::kWorker ? shm::Role::kFrontend : shm::Role::kWorker;
    table_.for_each_running(peers, [&](Process& peer) {
        if (peer.ready) peer.child->send(shm::MessageType::kPeerGone, message);
    });
}

// The fence comes before the signal: a stopped process can publish long after it was given up, and
// re-dispatch never waits for an exit.
void Supervisor::on_condemned(Child& child) {
    Slot* slot = table_.find(child.incarnation());
    if (slot == nullptr) return;
    const char* fault = child.life().fault();
    fence(*slot->process, fault != nullptr ? shm::PeerEnd::kOwnFault : shm::PeerEnd::kKilled);
}

void Supervisor::check_hangs() {
    const auto judge_one = [&](Process& process, uint64_t since_ns, const char* event) {
        const ChildPhase phase = process.child->life().phase();
        if (phase != ChildPhase::kReady && phase != ChildPhase::kDraining) return;
        if (!hang_judge_.hangs(since_ns)) return;
        const uint64_t now = monotonic_ns();
        log::error(event, {{shm::to_string(process.role), process.slot},
                           {"pid", process.child->pid()},
                           {"incarnation", process.incarnation},
                           {"silent_ms", (now - since_ns) / kNsPerMs}});
        process.child->life().condemn_hung(now);
        process.child->apply_signals(now);
    };
    // A worker hangs in a step; between steps it may sleep. A frontend must turn its loop always.
    table_.for_each_running(shm::Role::kWorker, [&](Process& worker) {
        judge_one(worker, worker.board.view->worker().step_begun_ns, "worker_hung");
    });
    table_.for_each_running(shm::Role::kFrontend, [&](Process& frontend) {
        judge_one(frontend, frontend.board.view->heartbeat_ns(), "frontend_hung");
    });
    arm_deadline();
}

void Supervisor::on_exit(Child& child, const ChildExit& exit) {
    Slot* slot = table_.find(child.incarnation());
    if (slot == nullptr) return;
    const ChildLife& life = child.life();
    ExitContext context;
    context.fault = life.fault();
    context.told_to_end = context.fault == nullptr && (life.phase() == ChildPhase::kDraining ||
                                                       life.phase() == ChildPhase::kKilling);
    context.oom_killed = exit.signal == SIGKILL && oom_.rose();
    const Verdict verdict = judge(exit, context);
    fence(*slot->process, verdict.end);

    const uint64_t now = monotonic_ns();
    const bool worker = slot->role == shm::Role::kWorker;
    const bool replaced = worker ? shutdown_.replaces_workers() : shutdown_.replaces_frontends();
    RestartPolicy::Decision decision{kNever, false};
    if (replaced) {
        decision = slot->restarts.on_death(verdict.blame, now - life.started_ns(), now);
    }
    if (context.told_to_end) {
        log::info(event_name(slot->role, "worker_stopped", "frontend_stopped"),
                  {{shm::to_string(slot->role), slot->index},
                   {"pid", child.pid()},
                   {"reason", verdict.reason}});
    } else {
        own_board_.writer->count(worker ? Counter::kWorkerDeaths : Counter::kFrontendDeaths);
        log::error(event_name(slot->role, "worker_died", "frontend_died"),
                   {{shm::to_string(slot->role), slot->index},
                    {"pid", child.pid()},
                    {"incarnation", child.incarnation()},
                    {"signal", exit.signal},
                    {"exit", exit.status},
                    {"reason", verdict.reason},
                    {"own_fault", verdict.blame == Blame::kOwn},
                    {"restart_ms", replaced ? (decision.start_at_ns - now) / kNsPerMs : 0},
                    {"restarts", replaced},
                    {"breaker_open", decision.breaker_open},
                    {"last_words", slot->process->board.view->last_words()}});
    }
    slot->start_at_ns = decision.start_at_ns;
    slot->breaker_open = decision.breaker_open;
    slot->recovering = replaced;
    slot->last_end = verdict.reason;
    bury(*slot, verdict);  // `child` is gone from here on
    start_due(*slot, now);
    update_health();
    arm_deadline();
    count_the_living();
}

void Supervisor::bury(Slot& slot, const Verdict& verdict) {
    Process& process = *slot.process;
    const bool clean = verdict.end == shm::PeerEnd::kDrained;
    process.board.writer->set_state(clean ? shm::ProcessState::kStopped : shm::ProcessState::kDead,
                                    monotonic_ns());
    std::vector<InspectEntry> segments = rings_.disconnect(process.incarnation);
    if (!clean) {
        if (auto board = shm::reopen_read_only(process.board.fd.get()); board.ok()) {
            segments.push_back(
                {inspect_item(process.incarnation, InspectKind::kBoard, false, slot.name),
                 std::move(*board)});
        }
        archive_.keep(std::move(segments));
    }
    slot.last_board = std::move(process.board);
    slot.process.reset();
}

void Supervisor::on_model_refused(size_t) {
    update_health();
}

void Supervisor::on_models_settled() {
    if (shutdown_.serving() && models_->count(ModelState::kLoaded) == 0) {
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

}  // namespace bitnetd::supervisor
