// bitnetd: reads the configuration, opens the listening sockets (or takes them over, with
// everything else, from a predecessor), and hands over to the Supervisor until nothing is left to
// watch. No HTTP, no byte of a client, no model parsing in this process.
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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
#include "supervisor/lifecycle/handover/estate.h"
#include "supervisor/lifecycle/handover/handover_version.h"
#include "supervisor/lifecycle/handover/reexec.h"
#include "supervisor/lifecycle/settings/command_line.h"
#include "supervisor/lifecycle/settings/run_as.h"
#include "supervisor/lifecycle/settings/worker_devices.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

// FileDescriptorName= of a .socket unit.
constexpr std::string_view kActivatedSockets = "http";

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

// What a killed process may take until its sockets are closed.
constexpr int kStrangerEndsMs = 5'000;

// Processes of a predecessor whose state this build cannot read: they would serve beside ours.
// Waits until they are gone, for their sockets' addresses are needed.
void end_strangers(Inherited& inherited) {
    for (const std::string& name : inherited.names()) {
        if (!name.ends_with(".pidfd")) continue;
        const Fd pidfd = inherited.take(name);
        syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
        pollfd ended{pidfd.get(), POLLIN, 0};
        const bool is_gone = poll(&ended, 1, kStrangerEndsMs) == 1;
        log::warn("stranger_ended", {{"name", name}, {"gone", is_gone}});
    }
}

std::optional<Inheritance> take_inheritance(Inherited& inherited) {
    auto found = read_inheritance(inherited);
    if (found.ok()) return std::move(*found);
    log::error("state_refused", {{"error", found.error().message}});
    end_strangers(inherited);
    return std::nullopt;
}

// The settings that the running processes were started with; a changed file is a reload, later.
Settings settings_of_predecessor(const SupervisorSnapshot& snapshot, const Settings& fresh) {
    auto params = parse_settings(snapshot.settings);
    if (!params.ok()) return fresh;
    auto settings = check_settings(std::move(*params));
    return settings.ok() ? std::move(*settings) : fresh;
}

// Sockets that systemd listens on for us, then what else is configured.
Result<Listeners> open_listeners(const Settings& settings, Inherited& inherited) {
    Listeners listeners;
    for (Fd& socket : inherited.take_all(kActivatedSockets)) {
        BITNETD_ASSIGN(const ListenAddress bound, bound_listen_address(socket.get()));
        BITNETD_TRY(listeners.adopt(std::move(socket), bound, ""));
    }
    for (const ListenAddress& address : settings.listen) {
        if (!listeners.has(address)) BITNETD_TRY(listeners.open(address, settings.unix_mode));
    }
    return listeners;
}

// One that died while it drained had closed its own: those are opened again.
Result<Listeners> inherit_listeners(const SupervisorSnapshot& snapshot, const Settings& settings,
                                    Inherited& inherited) {
    Listeners listeners;
    for (const ListenerSnapshot& it : snapshot.listeners) {
        BITNETD_ASSIGN(
            const ListenAddress asked,
            parse_listen_address(it.unix_path.empty() ? it.asked : "unix:" + it.unix_path));
        BITNETD_TRY(listeners.adopt(inherited.take(it.fd), asked, it.unix_path));
    }
    if (!listeners.all().empty()) return listeners;
    return open_listeners(settings, inherited);
}

Result<Fd> open_control(const std::optional<Inheritance>& before, Inherited& inherited,
                        const std::string& path) {
    if (before && before->snapshot.control && before->snapshot.control->path == path) {
        if (Fd socket = inherited.take(before->snapshot.control->fd)) return socket;
    }
    return ControlListener::bind(path);
}

struct Born {
    Inherited inherited;
    std::optional<Inheritance> before;
    std::vector<std::string> unclaimed;  // names of descriptors, where there is no `before`
    bool upgrades = false;               // executed in place of an older binary
};

// Runs until the supervisor is done; its exit code.
int serve(uv_loop_t* loop, Supervisor::Parts parts, Born born, const Settings& fresh) {
    const std::string control_path = parts.settings.params.server_control;
    const std::string user = parts.settings.params.server_user;
    std::vector<std::string> socket_files;
    for (const auto& listener : parts.listeners.all()) {
        if (!listener.unix_path.empty()) socket_files.push_back(listener.unix_path);
    }
    if (!control_path.empty()) socket_files.push_back(control_path);
    const bool differs = print_settings(fresh.params) != print_settings(parts.settings.params);
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
        auto socket = open_control(born.before, born.inherited, control_path);
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
    } else if (born.before && differs) {
        supervisor.on_hangup();
    }
    born.inherited.close_leftovers();
    if (!supervisor.done()) uv_run(loop, UV_RUN_DEFAULT);
    return supervisor.exit_code();
}

Result<Supervisor::Parts> make_parts(const Settings& fresh, Born& born,
                                     std::vector<std::string> args, Supervisor::Reread reread,
                                     uint64_t started_ns) {
    Settings settings = born.before ? settings_of_predecessor(born.before->snapshot, fresh) : fresh;
    BITNETD_ASSIGN(const std::string program, own_program());
    BITNETD_ASSIGN(Executables programs,
                   born.before ? inherit_executables(born.inherited, folder_of(program))
                               : open_executables(folder_of(program)));
    for (const std::string& device : worker_devices(settings.params))
        BITNETD_TRY(check_program_for(programs, device));
    BITNETD_ASSIGN(Listeners listeners,
                   born.before ? inherit_listeners(born.before->snapshot, settings, born.inherited)
                               : open_listeners(settings, born.inherited));
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

int run(const CommandLine& line, std::vector<std::string> args, Supervisor::Reread reread,
        Inherited inherited, uint64_t started_ns) {
    auto fresh = settings_of(line);
    if (!fresh.ok()) return usage_error(fresh.error());
    if (line.action == CommandLine::Action::kCheckConfig) {
        std::puts("the configuration is good");
        return kExitOk;
    }
    if (line.action == CommandLine::Action::kPrintSettings) {
        std::fputs(print_settings(fresh->params).c_str(), stdout);
        return kExitOk;
    }

    log::Level level = log::Level::kInfo;
    log::Format format = log::Format::kAuto;
    log::parse_level(fresh->params.log_level, level);  // both were checked
    log::parse_format(fresh->params.log_format, format);
    log::init("bitnetd", level, format);
    log::info("starting", {{"version", BITNETD_VERSION}, {"pid", getpid()}});
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN);

    Born born;
    born.upgrades = inherited.from_exec() && std::getenv(kUpgradeVariable) != nullptr;
    unsetenv(kUpgradeVariable);
    born.inherited = std::move(inherited);
    const std::vector<std::string> found = born.inherited.names();
    born.before = take_inheritance(born.inherited);
    if (!born.before) born.unclaimed = found;
    auto parts = make_parts(*fresh, born, std::move(args), std::move(reread), started_ns);
    if (!parts.ok()) return startup_error(parts.error(), kExitCannotListen);

    uv_loop_t loop;
    if (const int error = uv_loop_init(&loop); error != 0) {
        return startup_error(io_error("uv_loop_init", -error), kExitInternal);
    }
    const int exit_code = serve(&loop, std::move(*parts), std::move(born), *fresh);
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
        if (!line.ok()) return supervisor::usage_error(line.error());
        if (line->action == supervisor::CommandLine::Action::kShowText) {
            std::fputs(line->text.c_str(), stdout);
            return kExitOk;
        }
        const auto reread = [argc, argv] { return supervisor::read_settings(argc, argv, environ); };
        return supervisor::run(*line, std::vector<std::string>(argv, argv + argc), reread,
                               std::move(*inherited), started_ns);
    } catch (const std::exception& error) {
        // Allocation is what can throw here. The children see our control sockets close.
        std::fprintf(stderr, "bitnetd: %s\n", error.what());
        return kExitInternal;
    }
}
