// bitnetd: reads the configuration, opens the listening sockets (or takes them over, with
// everything else, from a predecessor), and hands over to the Supervisor until nothing is left to
// watch. No HTTP, no byte of a client, no model parsing in this process.
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "supervisor/control/control_listener.h"
#include "supervisor/lifecycle/handover/birth.h"
#include "supervisor/lifecycle/handover/handover_version.h"
#include "supervisor/lifecycle/handover/reexec.h"
#include "supervisor/lifecycle/settings/command_line.h"
#include "supervisor/lifecycle/settings/run_as.h"
#include "supervisor/lifecycle/settings/worker_devices.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

int usage_error(const Error& error) {
    std::fprintf(stderr, "bitnetd: %s\n", error.message.c_str());
    return kExitUsage;
}

int startup_error(const Error& error, int exit_code) {
    log::error("start_failed", {{"error", error.message}});
    return exit_code;
}

// Each connection is a descriptor in a frontend and each pair of processes two in here; children
// inherit the limit.
void raise_file_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// Runs until the supervisor is done; its exit code.
// `is_changed`: the configuration is not the one that the predecessor went by.
int serve(uv_loop_t* loop, Supervisor::Parts parts, Birth born, bool is_changed) {
    const std::string control_path = parts.settings.params.server_control;
    const std::string user = parts.settings.params.server_user;
    std::vector<std::string> socket_files;
    for (const auto& listener : parts.listeners.all()) {
        if (!listener.unix_path.empty()) socket_files.push_back(listener.unix_path);
    }
    if (!control_path.empty()) socket_files.push_back(control_path);
    for (const auto& listener : parts.listeners.all()) {
        log::info("listening", {{"address", listener.address}});
    }
    Supervisor supervisor(loop, std::move(parts));
    const SignalWatch term(loop, SIGTERM, [&] { supervisor.on_terminate(); });
    const SignalWatch interrupt(loop, SIGINT, [&] { supervisor.on_terminate(); });
    const SignalWatch quit(loop, SIGQUIT, [&] { supervisor.on_quit(); });
    const SignalWatch hangup(loop, SIGHUP, [&] { supervisor.on_hangup(); });
    const SignalWatch reopen(loop, SIGUSR1, [&] { supervisor.on_reopen(); });
    const SignalWatch upgrade(loop, SIGUSR2, [&] { supervisor.on_upgrade(); });
    accept_signals();

    std::optional<ControlListener> control;
    if (!control_path.empty()) {
        Fd inherited = inherit_control(born, control_path);
        Result<Fd> socket =
            inherited ? Result<Fd>(std::move(inherited)) : ControlListener::bind(control_path);
        if (!socket.ok()) return startup_error(socket.error(), kExitCannotListen);
        control.emplace(loop, control_path, std::move(*socket), supervisor);
        supervisor.note_control(control->fd());
        log::info("control_listening", {{"path", control_path}});
    }
    if (auto became = run_as(user, socket_files); !became.ok()) {
        return startup_error(became.error(), kExitUsage);
    }
    auto started = born.before ? supervisor.take_over(born.before->snapshot, born.inherited)
                               : supervisor.start();
    if (!started.ok()) return startup_error(started.error(), kExitInternal);
    if (born.upgrades) {
        if (auto begun = supervisor.roll_onto_this_binary(); !begun.ok()) {
            log::error("upgrade_failed", {{"error", begun.error().message}});
        }
    } else if (born.before && is_changed) {
        supervisor.on_hangup();
    }
    born.inherited.close_leftovers();
    if (!supervisor.done()) uv_run(loop, UV_RUN_DEFAULT);
    return supervisor.exit_code();
}

// `exit_code`: where it fails, what that is for whoever starts us.
Result<Supervisor::Parts> make_parts(Settings settings, Birth& born, std::vector<std::string> args,
                                     Supervisor::Reread reread, uint64_t started_ns,
                                     int& exit_code) {
    exit_code = kExitInternal;
    BITNETD_ASSIGN(const std::string program, own_program());
    BITNETD_ASSIGN(Executables programs,
                   born.before ? inherit_executables(born.inherited, folder_of(program))
                               : open_executables(folder_of(program)));
    exit_code = kExitUsage;
    for (const std::string& device : worker_devices(settings.params))
        BITNETD_TRY(check_program_for(programs, device));
    exit_code = kExitCannotListen;
    BITNETD_ASSIGN(Listeners listeners, listeners_at_birth(born, settings));
    exit_code = kExitInternal;
    if (born.before) started_ns = born.before->snapshot.started_ns;
    std::optional<StateTable> table;
    if (born.before) {
        table.emplace(std::move(born.before->table));
    } else {
        BITNETD_ASSIGN(StateTable made, StateTable::create());
        table.emplace(std::move(made));
    }
    Estate estate(FdStore::from_environment(), std::move(*table));
    estate.drop_unclaimed(born.unclaimed);
    return Supervisor::Parts{std::move(settings),
                             std::move(programs),
                             std::move(listeners),
                             std::move(reread),
                             SelfProgram{program, std::move(args)},
                             std::move(estate),
                             LogFile::of_standard_error(),
                             started_ns};
}

void init_log(const Params& params) {
    log::Level level = log::Level::kInfo;
    log::Format format = log::Format::kAuto;
    log::parse_level(params.log_level, level);  // both were checked
    log::parse_format(params.log_format, format);
    log::init("bitnetd", level, format);
}

// What is only asked about the configuration.
int show(const CommandLine& line, const Settings& settings) {
    if (line.action == CommandLine::Action::kCheckConfig) {
        std::puts("the configuration is good");
    } else {
        std::fputs(print_settings(settings.params).c_str(), stdout);
    }
    return kExitOk;
}

int run(const Result<Settings>& fresh, std::vector<std::string> args, Supervisor::Reread reread,
        Inherited inherited, uint64_t started_ns) {
    const bool from_exec = inherited.from_exec();
    Birth born = Birth::of(std::move(inherited));
    born.upgrades = born.before && from_exec && std::getenv(kUpgradeVariable) != nullptr;
    unsetenv(kUpgradeVariable);
    auto settings = settings_at_birth(born, fresh);
    if (!settings.ok()) return usage_error(settings.error());

    init_log(settings->params);
    log::info("starting", {{"version", BITNETD_VERSION}, {"pid", getpid()}});
    if (!fresh.ok()) log::error("configuration_refused", {{"error", fresh.error().message}});
    if (born.refused) {
        log::error("state_refused", {{"error", born.refused->message}});
        end_strangers(born.inherited);
    }
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN);

    const bool is_changed =
        fresh.ok() && print_settings(fresh->params) != print_settings(settings->params);
    int exit_code = kExitOk;
    auto parts = make_parts(std::move(*settings), born, std::move(args), std::move(reread),
                            started_ns, exit_code);
    if (!parts.ok()) return startup_error(parts.error(), exit_code);

    uv_loop_t loop;
    if (const int error = uv_loop_init(&loop); error != 0) {
        return startup_error(io_error("uv_loop_init", -error), kExitInternal);
    }
    exit_code = serve(&loop, std::move(*parts), std::move(born), is_changed);
    // The closing handles have their last callbacks; uv_stop() may have cut the first round short.
    while (uv_run(&loop, UV_RUN_DEFAULT) != 0) {
    }
    uv_loop_close(&loop);
    return exit_code;
}

}  // namespace
}  // namespace bitnetd::supervisor

int main(int argc, char** argv) {
    using namespace bitnetd;
    const uint64_t started_ns = monotonic_ns();
    // Of a build that may replace this one, asked in a process of its own.
    if (argc == 3 && std::strcmp(argv[1], "--check-handover") == 0) {
        return supervisor::answer_handover_check(argv[2]);
    }
    try {
        supervisor::hold_signals();
        auto inherited = supervisor::Inherited::collect();
        if (!inherited.ok()) return supervisor::usage_error(inherited.error());
        auto line = supervisor::read_command_line(argc, argv, environ);
        if (line.ok() && line->action == supervisor::CommandLine::Action::kShowText) {
            std::fputs(line->text.c_str(), stdout);
            return kExitOk;
        }
        const auto fresh =
            line.ok() ? supervisor::settings_of(*line) : Result<supervisor::Settings>(line.error());
        if (line.ok() && line->action != supervisor::CommandLine::Action::kRun) {
            return fresh.ok() ? supervisor::show(*line, *fresh)
                              : supervisor::usage_error(fresh.error());
        }
        const auto reread = [argc, argv] { return supervisor::read_settings(argc, argv, environ); };
        return supervisor::run(fresh, std::vector<std::string>(argv, argv + argc), reread,
                               std::move(*inherited), started_ns);
    } catch (const std::exception& error) {
        // Allocation is what can throw here. The children see our control sockets close.
        std::fprintf(stderr, "bitnetd: %s\n", error.what());
        return kExitInternal;
    }
}
