// The fleet as a successor of this process finds it: slots, processes, rings, and their
// descriptors.
#include <unistd.h>

#include <algorithm>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "supervisor/lifecycle/handover/fd_name.h"
#include "supervisor/lifecycle/handover/same_process.h"
#include "supervisor/lifecycle/process/fleet.h"

namespace bitnetd::supervisor {
namespace {

class Names {
  public:
    explicit Names(std::vector<NamedFd>& fds) : fds_(fds) {}
    // The name, noted with its descriptor; empty where there is none.
    std::string add(std::string name, int fd) {
        if (fd < 0) return {};
        fds_.push_back({name, fd});
        return name;
    }

  private:
    std::vector<NamedFd>& fds_;
};

ProcessSnapshot describe(const Slot& slot, Names& names) {
    const Process& process = *slot.process;
    const Child& child = *process.child;
    const uint64_t incarnation = process.incarnation;
    const auto name = [incarnation](std::string_view what) {
        return fd_name::process(incarnation, what);
    };
    ProcessSnapshot it;
    it.slot = slot.name;
    it.incarnation = incarnation;
    it.pid = child.pid();
    const auto ticks = process_start_ticks(child.pid());  // none: it is ending
    it.start_ticks = ticks.ok() ? *ticks : 0;
    it.role = process.role;
    it.phase = child.life().phase();
    it.started_ns = child.life().started_ns();
    it.deadline_ns = child.life().deadline_ns();
    it.pidfd = names.add(name("pidfd"), child.pidfd());
    it.control_fd = names.add(name("control"), child.control_fd());
    it.board_fd = names.add(name("board"), process.board.fd.get());
    it.doorbell_fd = names.add(name("doorbell"), process.doorbell.get());
    it.model_key = process.model_key;
    it.device = process.device;
    it.kernel_isa = process.kernel_isa;
    it.slots_max = process.slots_max;
    it.is_canary = process.is_canary;
    return it;
}

// A board into which its process could write anything: checked that it says whose it is.
Result<BoardHold> open_board(const Slot& slot, const std::string& name, Inherited& inherited) {
    BITNETD_ASSIGN(BoardHold board, BoardHold::open(inherited.take(name)));
    const auto& view = board.view;
    const bool is_its = view && view->role() == slot.role && view->slot() == slot.index &&
                        fd_name::process(view->incarnation(), "board") == name;
    if (!is_its) return invalid("board " + name + " says that it is another process's");
    return board;
}

}  // namespace

void Fleet::capture(SupervisorSnapshot& snapshot, std::vector<NamedFd>& fds) const {
    Names names(fds);
    snapshot.next_incarnation = last_incarnation_ + 1;
    snapshot.own_incarnation = own_board_.view->incarnation();
    snapshot.own_board_fd =
        names.add(fd_name::process(snapshot.own_incarnation, "board"), own_board_.fd.get());
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        for (const auto& slot : table_.slots(role)) {
            SlotSnapshot it;
            it.role = role;
            it.index = slot->index;
            it.name = slot->name;
            it.use = slot->use;
            it.model_key = slot->model_key;
            it.device = slot->device;
            it.cores = slot->cores;
            it.is_canary = slot->is_canary;
            it.kv_bytes = slot->kv_bytes;
            it.kv_arena_fd = names.add(fd_name::kv_arena(slot->index), slot->kv_arena.get());
            // Under the name that it had in its process's time: systemd keeps an open file once.
            if (slot->last_board) {
                const BoardHold& board = *slot->last_board;
                it.last_board_fd =
                    names.add(fd_name::process(board.view->incarnation(), "board"), board.fd.get());
            }
            snapshot.slots.push_back(std::move(it));
            if (slot->process) snapshot.processes.push_back(describe(*slot, names));
        }
    }
    for (const RingPairs::Pair& pair : rings_.pairs()) {
        const auto name = [&pair](std::string_view what) {
            return fd_name::ring(pair.frontend_incarnation, pair.worker_incarnation, what);
        };
        snapshot.rings.push_back({pair.frontend_incarnation, pair.worker_incarnation, pair.name,
                                  pair.credits, names.add(name("requests"), pair.requests.get()),
                                  names.add(name("tokens"), pair.tokens.get())});
    }
}

Result<void> Fleet::adopt_own_board(const SupervisorSnapshot& snapshot, Inherited& inherited) {
    last_incarnation_ = snapshot.next_incarnation - 1;
    BITNETD_ASSIGN(own_board_, BoardHold::open(inherited.take(snapshot.own_board_fd)));
    BITNETD_ASSIGN(shm::ProcessUsage usage, shm::ProcessUsage::open());
    own_board_.writer->set_pid(static_cast<uint32_t>(getpid()));
    own_board_.writer->show_usage(std::move(usage));
    own_board_.writer->heartbeat(monotonic_ns());
    return {};
}

// Slots in their order, so that each gets its index back.
void Fleet::adopt(const SupervisorSnapshot& snapshot, Inherited& inherited,
                  const std::shared_ptr<const Build>& build) {
    for (const SlotSnapshot& it : snapshot.slots) {
        Slot& slot = add_slot(it.role);
        slot.use = it.use;
        if (it.use != SlotUse::kVacant) slot.build = build;
        slot.model_key = it.model_key;
        slot.device = it.device;
        slot.cores = it.cores;
        slot.is_canary = it.is_canary;
        slot.kv_bytes = it.kv_bytes;
        slot.kv_arena = inherited.take(it.kv_arena_fd);
        if (it.last_board_fd.empty()) continue;
        if (auto board = open_board(slot, it.last_board_fd, inherited); board.ok()) {
            slot.last_board = std::move(*board);
        } else {
            log::warn("counters_lost", {{"child", slot.name}, {"error", board.error().message}});
        }
    }
    for (const ProcessSnapshot& it : snapshot.processes) {
        Slot* slot = table_.find_by_name(it.slot);
        if (slot == nullptr) continue;  // parse_snapshot() made sure that there is one
        if (auto adopted = adopt_process(*slot, it, inherited); !adopted.ok()) {
            log::error(
                "adoption_failed",
                {{"child", slot->name}, {"pid", it.pid}, {"error", adopted.error().message}});
        }
    }
    for (const RingPairSnapshot& it : snapshot.rings) {
        // Rings of one that could not be adopted go with it.
        if (!table_.find(it.frontend) || !table_.find(it.worker)) continue;
        rings_.adopt({it.frontend, it.worker, it.credits, it.name, inherited.take(it.requests_fd),
                      inherited.take(it.tokens_fd)});
    }
}

Result<void> Fleet::adopt_process(Slot& slot, const ProcessSnapshot& it, Inherited& inherited) {
    auto process = std::make_unique<Process>();
    process->role = it.role;
    process->slot = slot.index;
    process->incarnation = it.incarnation;
    process->model_key = it.model_key;
    process->device = it.device;
    process->kernel_isa = it.kernel_isa;
    process->slots_max = it.slots_max;
    process->is_canary = it.is_canary;
    process->ready = it.phase != ChildPhase::kStarting;
    BITNETD_ASSIGN(process->board, open_board(slot, it.board_fd, inherited));
    process->doorbell = inherited.take(it.doorbell_fd);
    Adoption adoption;
    adoption.pid = it.pid;
    adoption.pidfd = inherited.take(it.pidfd);
    if (!adoption.pidfd) {
        BITNETD_ASSIGN(adoption.pidfd, open_process(it.pid, it.start_ticks));
    }
    adoption.control = inherited.take(it.control_fd);
    adoption.name = slot.name;
    adoption.incarnation = it.incarnation;
    adoption.phase = it.phase;
    adoption.started_ns = it.started_ns;
    adoption.deadline_ns = it.deadline_ns;
    const LifeLimits limits{params_.server_worker_start_timeout_ms * kNsPerMs,
                            params_.server_kill_grace_ms * kNsPerMs};
    BITNETD_ASSIGN(process->child, Child::adopt(loop_, std::move(adoption), limits, *this));
    // The predecessor read its READY and died before it noted that.
    const bool says_ready = process->board.view->state() == shm::ProcessState::kReady;
    if (!process->ready && says_ready && process->child->life().on_ready()) {
        process->ready = true;
        process->slots_max =
            std::clamp<uint32_t>(process->board.view->worker().slots_max, 1, shm::kStepPlanMax);
    }
    slot.process = std::move(process);
    slot.last_board.reset();  // its counters were taken over
    return {};
}

// What the predecessor may not have got to say before it died. Children pass over what they know.
void Fleet::tell_again() {
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        const auto other = role == shm::Role::kFrontend ? shm::Role::kWorker : shm::Role::kFrontend;
        std::vector<uint64_t> living;
        table_.for_each_running(
            other, [&living](Process& process) { living.push_back(process.incarnation); });
        const std::string_view bytes(reinterpret_cast<const char*>(living.data()),
                                     living.size() * sizeof living[0]);
        table_.for_each_running(role, [&](Process& process) {
            if (process.ready) process.child->send_text(shm::MessageType::kKnownPeers, bytes);
        });
    }
    table_.for_each_running(shm::Role::kFrontend, [this](Process& frontend) {
        if (!frontend.ready) return;
        table_.for_each([&](Slot& slot) {
            if (slot.process.get() == &frontend) return;
            if (slot.process) {
                send_board(*frontend.child, slot.process->board);
            } else if (slot.last_board) {
                send_board(*frontend.child, *slot.last_board);
            }
        });
        table_.for_each_running(shm::Role::kWorker, [&](Process& worker) {
            if (!worker.ready || worker.is_draining()) return;
            if (rings_.knows(frontend, worker)) {
                rings_.tell_again(frontend, worker);
            } else {
                auto connected = connect(frontend, worker);
                if (!connected.ok()) frontend.child->reject(connected.error());
            }
        });
    });
    // Slots whose process was lost between its death and its restart.
    const uint64_t now = monotonic_ns();
    table_.for_each([&](Slot& slot) {
        if (slot.process) return;
        if (slot.serves()) {
            slot.start_at_ns = now;
        } else if (slot.use == SlotUse::kRetiring) {
            vacate(slot);
        }
    });
}

bool Fleet::has_unsent() const {
    bool unsent = false;
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        for (const auto& slot : table_.slots(role))
            unsent = unsent || (slot->process && slot->process->child->has_unsent());
    }
    return unsent;
}

}  // namespace bitnetd::supervisor
