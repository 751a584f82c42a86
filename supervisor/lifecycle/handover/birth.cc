#include "supervisor/lifecycle/handover/birth.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "common/log/log.h"
#include "supervisor/lifecycle/handover/fd_name.h"

namespace bitnetd::supervisor {
namespace {

// FileDescriptorName= of a .socket unit.
constexpr std::string_view kActivatedSockets = "http";

// What a killed process may take until its sockets are closed.
constexpr int kStrangerEndsMs = 5'000;

// Whether one of the configured addresses is where this socket listens.
bool is_configured(const Settings& settings, const ListenAddress& bound) {
    return std::any_of(settings.listen.begin(), settings.listen.end(),
                       [&](const ListenAddress& asked) { return same(asked, bound); });
}

Result<Listeners> open_listeners(const Settings& settings, Inherited& inherited) {
    Listeners listeners;
    for (Fd& socket : inherited.take_all(kActivatedSockets)) {
        BITNETD_ASSIGN(const ListenAddress bound, bound_listen_address(socket.get()));
        BITNETD_TRY(listeners.adopt(std::move(socket), bound, ""));
    }
    for (const std::string& name : inherited.names()) {
        if (!fd_name::is_listener(name)) continue;
        Fd socket = inherited.take(name);
        const auto bound = bound_listen_address(socket.get());
        if (!bound.ok() || !is_configured(settings, *bound) || listeners.has(*bound)) continue;
        BITNETD_TRY(listeners.adopt(std::move(socket), *bound, bound->unix_path));
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
        Fd socket = inherited.take(it.fd);
        const auto taken = socket
                               ? listeners.adopt(std::move(socket), asked, it.unix_path, it.number)
                               : listeners.open(asked, settings.unix_mode);
        // The others, and what runs, are worth more than this one.
        if (!taken.ok()) {
            log::error("listener_lost",
                       {{"address", it.address}, {"error", taken.error().message}});
        }
    }
    if (!listeners.all().empty()) return listeners;
    return open_listeners(settings, inherited);
}

}  // namespace

Birth Birth::of(Inherited inherited) {
    Birth birth;
    std::vector<std::string> names = inherited.names();
    auto found = read_inheritance(inherited);
    if (found.ok()) {
        birth.before = std::move(*found);
    } else {
        birth.refused = std::move(found).error();
    }
    if (!birth.before) birth.unclaimed = std::move(names);
    birth.inherited = std::move(inherited);
    return birth;
}

Result<Settings> settings_at_birth(const Birth& birth, const Result<Settings>& fresh) {
    if (!birth.before) return fresh;
    auto params = parse_settings(birth.before->snapshot.settings);
    if (!params.ok()) return fresh;
    auto settings = check_settings(std::move(*params));
    return settings.ok() ? settings : fresh;
}

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

Result<Listeners> listeners_at_birth(Birth& birth, const Settings& settings) {
    return birth.before ? inherit_listeners(birth.before->snapshot, settings, birth.inherited)
                        : open_listeners(settings, birth.inherited);
}

Fd inherit_control(Birth& birth, const std::string& path) {
    Fd socket = birth.inherited.take(fd_name::kControl);
    if (!socket) return {};
    const auto bound = bound_listen_address(socket.get());
    return bound.ok() && bound->unix_path == path ? std::move(socket) : Fd();
}

}  // namespace bitnetd::supervisor
