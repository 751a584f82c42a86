#include "supervisor/ctl/server_commands.h"

#include <CLI/CLI.hpp>

#include "common/config/control_path.h"
#include "supervisor/ctl/exit_help.h"

namespace bitnetd::supervisor {
namespace {

using shm::Command;

const std::vector<std::string> kLevels = {"debug", "info", "warn", "error"};
const std::vector<std::string> kStrategies = {"rolling", "blue_green"};

class ServerCommands {
  public:
    explicit ServerCommands(ServerCommand& command) : command_(command) {}

    void add_to_root(CLI::App& root) {
        add_views(root);
        add_changes(root);
    }
    void add_to_model(CLI::App& model) {
        add_load(model);
        add_swap(model);
        add_rollback(model);
        add_remove(model);
        add(model, "status", Command::kStatus, Answer::kModels,
            "Show the models that are served, and the change that is under way.");
    }

  private:
    CLI::App* add(CLI::App& parent, const char* name, Command what, Answer answer,
                  const char* description) {
        CLI::App* sub = parent.add_subcommand(name, description);
        sub->callback([&command = command_, what, answer] {
            command.command = what;
            command.answer = answer;
        });
        sub->footer(kServerExitHelp);
        sub->add_option("--control", command_.control, control_help())->type_name("FILE");
        sub->add_flag("--json", command_.json, "JSON instead of text.");
        return sub;
    }

    void add_views(CLI::App& root) {
        add(root, "status", Command::kStatus, Answer::kStatus,
            "Show the server, its models and its processes.");
        CLI::App* top =
            add(root, "top", Command::kStatus, Answer::kTop,
                "Show what the server does, anew each second; q or Ctrl-C ends it. Where standard "
                "output is no terminal, one snapshot is printed after the other.");
        top->add_option("-n,--count", command_.count, "End after this many snapshots.")
            ->type_name("COUNT")
            ->check(CLI::Range(uint64_t{1}, uint64_t{1'000'000'000}).description(""));
        CLI::App* rollouts = add(root, "rollouts", Command::kRollouts, Answer::kRollouts,
                                 "Show how past changes went, the newest first.");
        rollouts
            ->add_option("-n,--count", command_.count,
                         "How many at most (default " + std::to_string(kRolloutsUsual) + ").")
            ->type_name("COUNT")
            ->check(CLI::Range(uint64_t{1}, uint64_t{10'000}).description(""));
    }

    CLI::App* add_wait(CLI::App* sub) {
        sub->add_flag("--wait", command_.wait,
                      "Wait until it is done, and fail if it fails; show meanwhile how it goes.");
        return sub;
    }
    void add_changes(CLI::App& root) {
        add(root, "drain", Command::kDrain, Answer::kOutcome,
            "Have the server finish what it has, take nothing new, and stop.");
        add_wait(add(root, "reload", Command::kReload, Answer::kOutcome,
                     "Read the configuration again, check all of it, then apply it or change "
                     "nothing and say which line is wrong."));
        add_wait(add(root, "upgrade", Command::kUpgrade, Answer::kOutcome,
                     "Continue as the programs that are on disk now, without losing a request."));
        CLI::App* restart = add_wait(
            add(root, "restart-worker", Command::kRestartWorker, Answer::kOutcome,
                "Start a new worker beside an old one, which then finishes what it has and ends."));
        restart
            ->add_option("SLOT", command_.worker, "Its number in status: 0, or worker/0 as well.")
            ->required();
        CLI::App* level = add(root, "log-level", Command::kLogLevel, Answer::kOutcome,
                              "Set what all processes of the server log, until it is reloaded.");
        level->add_option("LEVEL", command_.level, "debug, info, warn or error.")
            ->required()
            ->check(CLI::IsMember(kLevels).description(""));
    }

    // An order about a model: waits unless told otherwise.
    CLI::App* add_order(CLI::App& model, const char* name, shm::OrderKind kind,
                        const char* description) {
        CLI::App* sub = add(model, name, Command::kOrder, Answer::kOutcome, description);
        sub->preparse_callback([&order = command_.order, kind](size_t) { order = kind; });
        sub->add_flag("--wait,!--no-wait", command_.wait_for_order,
                      "Wait until it is done, and fail if it fails (the default), or return when "
                      "it has begun.");
        sub->add_option("--timeout", command_.timeout_s,
                        "Seconds that preparing may take; as configured when not given.")
            ->type_name("SECONDS")
            ->check(CLI::Range(1u, 86'400u).description(""));
        return sub;
    }
    void add_trial(CLI::App* sub) {
        sub->add_option("--accuracy-min", command_.accuracy_min,
                        "Accuracy ratio below which the model is refused; as configured when not "
                        "given.")
            ->type_name("RATIO")
            ->check(CLI::Range(0.0f, 1.0f).description(""));
        sub->add_option("--test-prompt", command_.prompts,
                        "A prompt that the model must be able to continue before it serves; may be "
                        "given up to five times.")
            ->type_name("TEXT")
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    void add_load(CLI::App& model) {
        CLI::App* sub = add_order(model, "load", shm::OrderKind::kLoad,
                                  "Have the server load a model that it does not serve yet.");
        sub->add_option("MODEL", command_.model,
                        "ID=PATH: what clients shall call it, and a file or folder that the server "
                        "may read. "
                        "PATH alone: its last name is the id.")
            ->required();
        add_trial(sub);
    }
    void add_swap(CLI::App& model) {
        CLI::App* sub =
            add_order(model, "swap", shm::OrderKind::kSwap,
                      "Replace a model that is served by another file. The old one is taken back "
                      "when the new one is refused, answers wrongly or is too slow.");
        sub->add_option("ID", command_.model, "What clients call it.")->required();
        sub->add_option("PATH", command_.path,
                        "The new file or folder; the server must be able to read it.")
            ->required();
        sub->add_option("--strategy", command_.strategy,
                        "rolling (one worker after the other) or blue_green (all new ones beside "
                        "all old ones, then at once). "
                        "As configured (rollout.strategy) when not given.")
            ->type_name("STRATEGY")
            ->check(CLI::IsMember(kStrategies).description(""));
        sub->add_flag("--keep-failed", command_.keep_failed,
                      "Once the new model serves, do not go back when a worker fails: restart it.");
        add_trial(sub);
    }
    void add_rollback(CLI::App& model) {
        CLI::App* sub = add_order(model, "rollback", shm::OrderKind::kRollback,
                                  "Go back to what an id served before it was swapped.");
        sub->add_option("ID", command_.model, "What clients call it.")->required();
    }
    void add_remove(CLI::App& model) {
        CLI::App* sub = add_order(model, "remove", shm::OrderKind::kRemove,
                                  "Stop serving a model, once what runs on it has ended.");
        sub->add_option("ID", command_.model, "What clients call it.")->required();
    }

    ServerCommand& command_;
};

}  // namespace

void add_server_commands(CLI::App& root, CLI::App& model, ServerCommand& command) {
    ServerCommands commands(command);
    commands.add_to_root(root);
    commands.add_to_model(model);
}

}  // namespace bitnetd::supervisor
