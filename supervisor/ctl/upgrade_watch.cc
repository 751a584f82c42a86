#include "supervisor/ctl/upgrade_watch.h"

#include <poll.h>

#include "common/base/clock.h"
#include "supervisor/ctl/rollout_view.h"

namespace bitnetd::supervisor {
namespace {

constexpr int kPauseMs = 250;

Result<Json> ask_status(const std::string& control, Interrupts& interrupts, CommandEnd& end) {
    BITNETD_ASSIGN(ControlClient client, ControlClient::connect(control));
    shm::CommandMessage message{};
    message.command = shm::Command::kStatus;
    BITNETD_ASSIGN(WholeAnswer answer, ask_whole(client, message, interrupts));
    end = std::move(answer.end);
    if (end.interrupted_by != 0) return Json::object();
    return parse_answer(answer.text);
}

bool is_it(const Json& rollout, uint64_t since_unix_ms) {
    return text_of(rollout, "kind") == "upgrade" &&
           count_of(rollout, "started_unix_ms") >= since_unix_ms;
}

CommandEnd end_of(const Json& upgrade) {
    CommandEnd end;
    end.failed = !is_completed(upgrade);
    if (end.failed) end.text = text_of(upgrade, "reason");
    return end;
}

}  // namespace

Json find_upgrade(const Json& status, uint64_t since_unix_ms) {
    const Json& running = object_of(status, "rollout");
    if (is_it(running, since_unix_ms)) return running;
    for (const Json& rollout : list_of(status, "rollouts")) {
        if (is_it(rollout, since_unix_ms)) return rollout;
    }
    return Json::object();
}

Result<CommandEnd> watch_upgrade(const std::string& control, uint64_t since_unix_ms,
                                 Interrupts& interrupts, RolloutWatch& watch) {
    uint64_t deadline_ns = monotonic_ns() + kSuccessorMs * kNsPerMs;
    while (true) {
        CommandEnd end;
        const auto status = ask_status(control, interrupts, end);
        if (end.interrupted_by != 0) return end;
        const Json upgrade = status.ok() ? find_upgrade(*status, since_unix_ms) : Json::object();
        if (!upgrade.empty()) {
            deadline_ns = monotonic_ns() + kSuccessorMs * kNsPerMs;
            watch.take(upgrade, monotonic_ns());
            if (!is_running(upgrade)) return end_of(upgrade);
        }
        if (monotonic_ns() > deadline_ns) {
            return Error{ErrorCode::kUnavailable,
                         status.ok()
                             ? "the server knows of no upgrade"
                             : "no successor of the server answers: " + status.error().message};
        }
        pollfd ready{interrupts.fd(), POLLIN, 0};
        poll(&ready, 1, kPauseMs);
        if (const auto signal = interrupts.take()) {
            end.interrupted_by = *signal;
            return end;
        }
    }
}

}  // namespace bitnetd::supervisor
