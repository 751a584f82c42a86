// What children say and how they end: introductions, fencing, burial, restart.
#include <algorithm>
#include <csignal>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/process/fleet.h"

namespace bitnetd::supervisor {
namespace {

const char* event_name(shm::Role role, const char* worker, const char* frontend) {
    return role == shm::Role::kWorker ? worker : frontend;
}

}  // namespace

void Fleet::on_message(Child& child, shm::Message& message) {
    Slot* slot = table_.find(child.incarnation());
    if (slot == nullptr) return;  // between its exit and its burial: nothing it says counts
    Result<void> taken = {};
    if (message.type == shm::MessageType::kReady) {
        taken = take_ready(*slot, message);
    } else if (message.type == shm::MessageType::kPeerBroken && slot->process->ready) {
        taken = take_peer_broken(*slot, message);
    } else if (slot->role == shm::Role::kFrontend && slot->process->ready) {
        taken = owner_.on_frontend_message(*slot->process, message);
    } else {
        taken = invalid("message type " + std::to_string(static_cast<int>(message.type)) +
                        " is not this child's to send");
    }
    if (!taken.ok()) child.reject(taken.error());
    owner_.on_fleet_changed();
}

Result<void> Fleet::take_ready(Slot& slot, const shm::Message& message) {
    Process& process = *slot.process;
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto ready, message.as<shm::ReadyMessage>());
    const bool worker = slot.role == shm::Role::kWorker;
    if (worker && (ready.slots_max < 1 || ready.slots_max > shm::kStepPlanMax)) {
        return invalid("READY with slots_max " + std::to_string(ready.slots_max));
    }
    // Told to end while it was starting: it comes too late to be introduced to anyone.
    if (process.is_draining()) return {};
    if (!process.child->life().on_ready()) return invalid("READY in the wrong phase");
    process.ready = true;
    process.slots_max = ready.slots_max;
    process.kernel_isa = std::string(shm::field_text(ready.kernel_isa));
    slot.recovering = false;
    slot.breaker_open = false;
    log_ready(slot);
    introduce(process);
    owner_.on_process_ready(slot);
    return {};
}

// Rings are never repaired. Whoever of the two wrote what is wrong, and whoever says so, the worker
// ends for it: its flights go on elsewhere and no client notices, while a frontend would take its
// connections with it. A frontend that reports what is not so, or garbles one worker's ring after
// the other, is bounded by the workers' back-off and breaker, as whatever else makes them die.
Result<void> Fleet::take_peer_broken(const Slot& reporter, const shm::Message& message) {
    BITNETD_TRY(message.expect_fds(0));
    BITNETD_ASSIGN(const auto broken, message.as<shm::IncarnationMessage>());
    const Slot* peer = table_.find(broken.incarnation);
    if (peer == nullptr || !peer->process->ready) return {};  // gone meanwhile
    if (peer->role == reporter.role) return invalid("kPeerBroken of " + peer->name);
    const Slot& worker = reporter.role == shm::Role::kWorker ? reporter : *peer;
    worker.process->child->reject(
        invalid("a ring is not as agreed, says " + reporter.name + " of " + peer->name));
    return {};
}

void Fleet::log_ready(const Slot& slot) {
    const Process& process = *slot.process;
    const uint64_t start_ms = (monotonic_ns() - process.child->life().started_ns()) / kNsPerMs;
    if (slot.role == shm::Role::kWorker) {
        log::info("worker_ready", {{"worker", slot.index},
                                   {"pid", process.child->pid()},
                                   {"incarnation", process.incarnation},
                                   {"model", owner_.model_of(slot.model_key)->source.id},
                                   {"model_key", slot.model_key},
                                   {"device", process.device},
                                   {"isa", process.kernel_isa},
                                   {"slots", process.slots_max},
                                   {"canary", process.is_canary},
                                   {"start_ms", start_ms}});
    } else {
        log::info("frontend_ready", {{"frontend", slot.index},
                                     {"pid", process.child->pid()},
                                     {"incarnation", process.incarnation},
                                     {"start_ms", start_ms}});
    }
}

// Gives the new one rings with everyone of the other kind who is ready. A worker that drains takes
// nothing new; a frontend that drains still needs workers for what it has.
void Fleet::introduce(Process& process) {
    const bool is_worker = process.role == shm::Role::kWorker;
    const auto other = is_worker ? shm::Role::kFrontend : shm::Role::kWorker;
    table_.for_each_running(other, [&](Process& peer) {
        if (!peer.ready || peer.fenced || process.fenced) return;
        Process& worker = is_worker ? process : peer;
        Process& frontend = is_worker ? peer : process;
        if (worker.is_draining()) return;
        auto connected = connect(frontend, worker);
        // Without rings the new one is of no use; its restart tries again after a pause.
        if (!connected.ok()) process.child->reject(connected.error());
    });
}

Result<void> Fleet::connect(Process& frontend, Process& worker) {
    const auto frontends = static_cast<uint32_t>(params_.server_frontends);
    const uint32_t credits = std::max(worker.slots_max / frontends, 1u);
    const Params& params = table_.find(worker.incarnation)->build->params;
    const RingPairs::Sizes sizes{params.dispatch_request_ring_bytes,
                                 params.dispatch_token_ring_bytes};
    return rings_.connect(frontend, worker, sizes, credits, [this] { owner_.save_state(); });
}

void Fleet::fence(Process& process, shm::PeerEnd end) {
    if (!process.ready || process.fenced) return;
    process.fenced = true;
    const shm::PeerGoneMessage message{process.incarnation, process.slot, end};
    const auto others =
        process.role == shm::Role::kWorker ? shm::Role::kFrontend : shm::Role::kWorker;
    table_.for_each_running(others, [&](Process& peer) {
        if (peer.ready) peer.child->send(shm::MessageType::kPeerGone, message);
    });
}

// The fence comes before the signal: a stopped process can publish long after it was given up, and
// re-dispatch never waits for an exit.
void Fleet::on_condemned(Child& child) {
    Slot* slot = table_.find(child.incarnation());
    if (slot == nullptr) return;
    const char* fault = child.life().fault();
    fence(*slot->process, fault != nullptr ? shm::PeerEnd::kOwnFault : shm::PeerEnd::kKilled);
}

void Fleet::check_hangs() {
    const auto judge_one = [&](Slot& slot, const char* event) {
        Process& process = *slot.process;
        const uint64_t since_ns = process.board.view->heartbeat_ns();
        const ChildPhase phase = process.child->life().phase();
        if (phase != ChildPhase::kReady && phase != ChildPhase::kDraining) return;
        // One of an older configuration may show itself less often than the new one expects.
        const uint64_t limit_ms = std::max(params_.server_hang_timeout_ms,
                                           2 * slot.build->params.server_heartbeat_interval_ms);
        if (!hang_judge_.hangs(since_ns, limit_ms * kNsPerMs)) return;
        const uint64_t now = monotonic_ns();
        log::error(event, {{shm::to_string(process.role), process.slot},
                           {"pid", process.child->pid()},
                           {"incarnation", process.incarnation},
                           {"silent_ms", (now - since_ns) / kNsPerMs}});
        process.child->life().condemn_hung(now);
        process.child->apply_signals(now);
    };
    // All turn their loop always, at least to show it; a worker's step is within one turn.
    table_.for_each([&](Slot& slot) {
        if (slot.process) judge_one(slot, event_name(slot.role, "worker_hung", "frontend_hung"));
    });
    owner_.on_fleet_changed();
}

void Fleet::on_exit(Child& child, const ChildExit& exit) {
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
    slot->last_end = verdict.reason;
    slot->start_at_ns = kNever;
    if (slot->serves()) {
        if (verdict.blame == Blame::kOwn) ++slot->deaths;
        slot->recovering = owner_.replaces(slot->role);
        if (slot->recovering) {
            const auto next = slot->restarts.on_death(verdict.blame, now - life.started_ns(), now);
            slot->start_at_ns = next.start_at_ns;
            slot->breaker_open = next.breaker_open;
        }
    }
    log_end(*slot, child, exit, context.told_to_end, verdict);
    bury(*slot, verdict);  // `child` is gone from here on
    if (slot->use == SlotUse::kRetiring) vacate(*slot);
    owner_.on_process_gone(*slot, verdict);
    start_due(*slot, now);
    owner_.on_fleet_changed();
}

void Fleet::log_end(const Slot& slot, const Child& child, const ChildExit& exit, bool told_to_end,
                    const Verdict& verdict) {
    const bool worker = slot.role == shm::Role::kWorker;
    if (told_to_end) {
        log::info(event_name(slot.role, "worker_stopped", "frontend_stopped"),
                  {{shm::to_string(slot.role), slot.index},
                   {"pid", child.pid()},
                   {"reason", verdict.reason}});
        return;
    }
    own_board_.writer->count(worker ? Counter::kWorkerDeaths : Counter::kFrontendDeaths);
    const bool restarts = slot.start_at_ns != kNever;
    const uint64_t now = monotonic_ns();
    const uint64_t pause_ns = restarts && slot.start_at_ns > now ? slot.start_at_ns - now : 0;
    log::error(event_name(slot.role, "worker_died", "frontend_died"),
               {{shm::to_string(slot.role), slot.index},
                {"pid", child.pid()},
                {"incarnation", child.incarnation()},
                {"signal", exit.signal},
                {"exit", exit.status},
                {"reason", verdict.reason},
                {"own_fault", verdict.blame == Blame::kOwn},
                {"restart_ms", (pause_ns + kNsPerMs - 1) / kNsPerMs},
                {"restarts", restarts},
                {"breaker_open", slot.breaker_open},
                {"last_words", slot.process->board.view->last_words()}});
}

void Fleet::bury(Slot& slot, const Verdict& verdict) {
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
    owner_.save_state();
}

}  // namespace bitnetd::supervisor
