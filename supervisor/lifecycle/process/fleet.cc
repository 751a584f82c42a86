// Slots: which there are, which are due, which go.
#include "supervisor/lifecycle/process/fleet.h"

#include <unistd.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "supervisor/lifecycle/settings/worker_devices.h"

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

}  // namespace

Fleet::Fleet(uv_loop_t* loop, const Params& params, FleetOwner& owner)
    : loop_(loop), params_(params), owner_(owner) {}

void Fleet::use_limits(const Params& params) {
    params_ = params;
    table_.for_each([&](Slot& slot) { slot.restarts.use_limits(restart_limits(params)); });
}

Result<void> Fleet::make_own_board(uint64_t started_ns) {
    const uint64_t now = monotonic_ns();
    BITNETD_ASSIGN(own_board_,
                   BoardHold::make({shm::Role::kSupervisor, 0, ++last_incarnation_, ""}, nullptr));
    own_board_.writer->set_pid(static_cast<uint32_t>(getpid()));
    own_board_.writer->set_started(started_ns);
    BITNETD_ASSIGN(shm::ProcessUsage usage, shm::ProcessUsage::open());
    own_board_.writer->show_usage(std::move(usage));
    own_board_.writer->heartbeat(now);
    own_board_.writer->set_state(shm::ProcessState::kReady, now);
    return {};
}

CoreShare Fleet::free_share(uint32_t count, const Leaves& leaves) const {
    std::vector<CoreShare> taken;
    for (const Slot* slot : table_.serving(shm::Role::kWorker)) {
        if (!is_gpu(slot->device) && !leaves(*slot)) taken.push_back(slot->cores);
    }
    return choose_share(count, taken);
}

Slot& Fleet::add_slot(shm::Role role) {
    return table_.add(std::make_unique<Slot>(role, table_.next_index(role), restart_limits(params_),
                                             monotonic_ns()));
}

Slot& Fleet::open_slot(shm::Role role, std::shared_ptr<const Build> build) {
    Slot* slot = table_.first_vacant(role);
    if (slot == nullptr) slot = &add_slot(role);
    slot->use = SlotUse::kServing;
    slot->build = std::move(build);
    slot->restarts = RestartPolicy(restart_limits(params_), monotonic_ns() + slot->index);
    slot->breaker_open = false;
    slot->recovering = false;
    slot->deaths = 0;
    slot->last_end.clear();
    return *slot;
}

void Fleet::start(Slot& slot) {
    const uint64_t now = monotonic_ns();
    slot.start_at_ns = now;
    start_due(slot, now);
    owner_.on_fleet_changed();
}

void Fleet::vacate(Slot& slot) {
    slot.use = SlotUse::kVacant;
    slot.start_at_ns = kNever;
    slot.recovering = false;
    slot.breaker_open = false;
    slot.model_key = 0;
    slot.cores = {};
    slot.is_canary = false;
    slot.kv_arena.reset();
    slot.build.reset();
}

void Fleet::retire(Slot& slot, uint64_t deadline_ns) {
    if (slot.use == SlotUse::kVacant) return;
    slot.use = SlotUse::kRetiring;
    slot.start_at_ns = kNever;
    if (!slot.process) {
        vacate(slot);
    } else {
        log::info("retiring", {{"child", slot.name}, {"pid", slot.process->child->pid()}});
        slot.process->child->send(shm::MessageType::kDrain);
        slot.process->child->life().on_drain(deadline_ns);
    }
    owner_.on_fleet_changed();
}

void Fleet::promote(Slot& slot) {
    slot.is_canary = false;
    if (!slot.process || !slot.process->is_canary) return;
    slot.process->is_canary = false;
    table_.tell_frontends(shm::MessageType::kPromoted,
                          shm::IncarnationMessage{slot.process->incarnation});
}

void Fleet::drain(shm::Role role, uint64_t deadline_ns) {
    table_.for_each_running(role, [deadline_ns](Process& process) {
        process.child->send(shm::MessageType::kDrain);
        process.child->life().on_drain(deadline_ns);
    });
}

void Fleet::dismiss_all() {
    const uint64_t now = monotonic_ns();
    table_.for_each([now](Slot& slot) {
        if (!slot.process) return;
        slot.process->child->life().dismiss();
        slot.process->child->apply_signals(now);
    });
}

void Fleet::forget_restarts(shm::Role role) {
    for (const auto& slot : table_.slots(role))
        slot->start_at_ns = kNever;
}

void Fleet::on_tick(uint64_t now_ns, uint64_t tick_ns) {
    own_board_.writer->heartbeat(now_ns);
    hang_judge_.on_tick(now_ns, tick_ns);
    check_hangs();
}

// Those of an older configuration keep to the interval that they were started with.
uint64_t Fleet::tick_ms() const {
    uint64_t tick_ms = params_.server_heartbeat_interval_ms;
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        for (const auto& slot : table_.slots(role)) {
            if (slot->process) {
                tick_ms = std::min(tick_ms, slot->build->params.server_heartbeat_interval_ms);
            }
        }
    }
    return tick_ms;
}

void Fleet::run_due(uint64_t now_ns) {
    table_.for_each([&](Slot& slot) {
        if (slot.process) {
            slot.process->child->apply_signals(now_ns);
        } else {
            start_due(slot, now_ns);
        }
    });
}

std::vector<InspectEntry> Fleet::inspect() const {
    std::vector<InspectEntry> entries;
    const auto add_board = [&](const BoardHold& board, uint64_t incarnation,
                               const std::string& name) {
        if (auto fd = shm::reopen_read_only(board.fd.get()); fd.ok()) {
            entries.push_back(
                {inspect_item(incarnation, InspectKind::kBoard, true, name), std::move(*fd)});
        }
    };
    add_board(own_board_, own_board_.view->incarnation(), "supervisor/0");
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        for (const auto& slot : table_.slots(role)) {
            if (!slot->process) continue;
            add_board(slot->process->board, slot->process->incarnation, slot->name);
        }
    }
    rings_.list(entries);
    archive_.list(entries);
    return entries;
}

}  // namespace bitnetd::supervisor
