#include "supervisor/ctl/server_command.h"

#include <cstdio>

#include "common/base/clock.h"
#include "common/config/control_path.h"
#include "common/config/exit_codes.h"
#include "supervisor/ctl/control_client.h"
#include "supervisor/ctl/rollout_view.h"
#include "supervisor/ctl/rollout_watch.h"
#include "supervisor/ctl/status_view.h"
#include "supervisor/ctl/top.h"
#include "supervisor/ctl/upgrade_watch.h"

namespace bitnetd::supervisor {
namespace {

int give_up(const Error& error, int exit_code) {
    std::fprintf(stderr, "bitnetctl: %s\n", error.message.c_str());
    return exit_code;
}

void print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
}

// What `model status --json` shows of the status.
Json models_of(const Json& status) {
    return {{"models", list_of(status, "models")}, {"rollout", object_of(status, "rollout")}};
}

std::string text_for(const ServerCommand& command, const Json& answer) {
    const bool models_only = command.answer == Answer::kModels;
    if (command.json) return dumped(models_only ? models_of(answer) : answer, 2) + "\n";
    if (command.answer == Answer::kRollouts) return rollouts_text(answer);
    return models_only ? model_status_text(answer) : status_text(answer);
}

// status, model status, rollouts: one answer, shown.
Result<CommandEnd> view(const ServerCommand& command, const shm::CommandMessage& message,
                        ControlClient& client, Interrupts& interrupts) {
    BITNETD_ASSIGN(const WholeAnswer answer, ask_whole(client, message, interrupts));
    if (answer.end.failed || answer.end.interrupted_by != 0) return answer.end;
    BITNETD_ASSIGN(const Json json, parse_answer(answer.text));
    print(text_for(command, json));
    return CommandEnd{};
}

void print_outcome(const ServerCommand& command, const CommandEnd& end,
                   const std::vector<Json>& rollouts) {
    if (command.json) {
        const Json outcome = {{"ok", !end.failed}, {"message", end.text}, {"rollouts", rollouts}};
        return print(dumped(outcome, 2) + "\n");
    }
    for (const Json& rollout : rollouts)
        print(rollout_summary(rollout) + "\n");
    if (!end.failed && !end.text.empty()) print(end.text + "\n");
}

// All others: an order, and with waits() how it goes on.
Result<CommandEnd> change(const ServerCommand& command, const shm::CommandMessage& message,
                          ControlClient& client, Interrupts& interrupts) {
    ProgressLine progress = ProgressLine::on_standard_error();
    RolloutWatch watch(progress);
    const uint64_t asked_unix_ms = unix_milliseconds();
    auto end = client.ask(message, command.waits() ? kWatchSilenceMs : kAnswerSilenceMs, interrupts,
                          [&](std::string_view text) { return watch.take(text, monotonic_ns()); });
    const bool is_upgrade = command.command == shm::Command::kUpgrade && command.waits();
    if (is_upgrade && !end.ok() && end.error().code == ErrorCode::kUnavailable) {
        end = watch_upgrade(control_path(command.control), asked_unix_ms, interrupts, watch);
    }
    progress.clear();
    if (end.ok() && end->interrupted_by == 0) print_outcome(command, *end, watch.rollouts());
    return end;
}

// A signal to us changes nothing there.
[[noreturn]] void end_interrupted(const ServerCommand& command, int signal) {
    if (command.answer == Answer::kOutcome) {
        std::fputs("bitnetctl: interrupted; what was begun goes on (bitnetctl rollouts)\n", stderr);
    }
    end_by(signal);
}

}  // namespace

int run_server_command(const ServerCommand& command) {
    const auto message = message_of(command);
    if (!message.ok()) return give_up(message.error(), kExitUsage);
    auto interrupts = Interrupts::watch();
    if (!interrupts.ok()) return give_up(interrupts.error(), kExitFailed);
    if (command.answer == Answer::kTop) {
        return run_top(command, control_path(command.control), *message, *interrupts);
    }
    auto client = ControlClient::connect(control_path(command.control));
    if (!client.ok()) return give_up(client.error(), kExitNoServer);

    const auto run = command.answer == Answer::kOutcome ? change : view;
    const auto end = run(command, *message, *client, *interrupts);
    if (!end.ok()) return give_up(end.error(), kExitFailed);
    if (end->interrupted_by != 0) end_interrupted(command, end->interrupted_by);
    if (end->failed) {
        const std::string& why = end->text;
        return give_up(invalid(why.empty() ? "it was not done" : why), kExitFailed);
    }
    return std::fflush(stdout) == 0 ? kExitOk : kExitFailed;
}

}  // namespace bitnetd::supervisor
