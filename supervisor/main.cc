// bitnetd: reads the configuration, opens the listening sockets, and hands over to the Supervisor
// until nothing is left to watch. No HTTP, no byte of a client, no model parsing in this process.
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <optional>

#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "supervisor/control/control_listener.h"
#include "supervisor/lifecycle/settings/command_line.h"
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

Result<Listeners> open_listeners(const Settings& settings) {
    Listeners listeners;
    for (const ListenAddress& address : settings.listen) {
        BITNETD_TRY(listeners.open(address, settings.unix_mode));
    }
    return listeners;
}

// Runs until the supervisor is done; its exit code.
int serve(uv_loop_t* loop, Settings settings, Executables programs, Listeners listeners,
          Supervisor::Reread reread, uint64_t started_ns) {
    const std::string control_path = settings.params.server_control;
    for (const auto& listener : listeners.all()) {
        log::info("listening", {{"address", listener.address}});
    }
    Supervisor supervisor(loop, std::move(settings), std::move(programs), std::move(listeners),
                          std::move(reread), started_ns);
    const SignalWatch term(loop, SIGTERM, [&] { supervisor.on_terminate(); });
    const SignalWatch interrupt(loop, SIGINT, [&] { supervisor.on_terminate(); });
    const SignalWatch quit(loop, SIGQUIT, [&] { supervisor.on_quit(); });
    const SignalWatch hangup(loop, SIGHUP, [&] { supervisor.on_hangup(); });

    std::optional<ControlListener> control;
    if (!control_path.empty()) {
        auto socket = ControlListener::bind(control_path);
        if (!socket.ok()) return startup_error(socket.error(), kExitCannotListen);
        control.emplace(loop, control_path, std::move(*socket), supervisor);
        log::info("control_listening", {{"path", control_path}});
    }
    if (auto started = supervisor.start(); !started.ok()) {
        return startup_error(started.error(), kExitInternal);
    }
    if (!supervisor.done()) uv_run(loop, UV_RUN_DEFAULT);
    return supervisor.exit_code();
}

int run(const CommandLine& line, Supervisor::Reread reread, uint64_t started_ns) {
    auto settings = settings_of(line);
    if (!settings.ok()) return usage_error(settings.error());
    if (line.action == CommandLine::Action::kCheckConfig) {
        std::puts("the configuration is good");
        return kExitOk;
    }
    if (line.action == CommandLine::Action::kPrintSettings) {
        std::fputs(print_settings(settings->params).c_str(), stdout);
        return kExitOk;
    }

    log::Level level = log::Level::kInfo;
    log::Format format = log::Format::kAuto;
    log::parse_level(settings->params.log_level, level);  // both were checked
    log::parse_format(settings->params.log_format, format);
    log::init("bitnetd", level, format);
    log::info("starting", {{"version", BITNETD_VERSION}, {"pid", getpid()}});
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN);

    auto folder = own_folder();
    if (!folder.ok()) return startup_error(folder.error(), kExitInternal);
    auto programs = open_executables(*folder);
    if (!programs.ok()) return startup_error(programs.error(), kExitInternal);
    auto listeners = open_listeners(*settings);
    if (!listeners.ok()) return startup_error(listeners.error(), kExitCannotListen);

    uv_loop_t loop;
    if (const int error = uv_loop_init(&loop); error != 0) {
        return startup_error(io_error("uv_loop_init", -error), kExitInternal);
    }
    const int exit_code = serve(&loop, std::move(*settings), std::move(*programs),
                                std::move(*listeners), std::move(reread), started_ns);
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
    try {
        auto line = supervisor::read_command_line(argc, argv, environ);
        if (!line.ok()) return supervisor::usage_error(line.error());
        if (line->action == supervisor::CommandLine::Action::kShowText) {
            std::fputs(line->text.c_str(), stdout);
            return kExitOk;
        }
        const auto reread = [argc, argv] { return supervisor::read_settings(argc, argv, environ); };
        return supervisor::run(*line, reread, started_ns);
    } catch (const std::exception& error) {
        // Allocation is what can throw here. The children see our control sockets close.
        std::fprintf(stderr, "bitnetd: %s\n", error.what());
        return kExitInternal;
    }
}
