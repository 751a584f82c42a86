// What a supervisor is born with: nothing, or what a predecessor left to it in systemd's store or
// by an exec in place. What there is goes on, whatever the configuration file says by now. Main
// thread, before the loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "supervisor/lifecycle/handover/estate.h"
#include "supervisor/lifecycle/handover/inherited.h"
#include "supervisor/lifecycle/settings/listeners.h"
#include "supervisor/lifecycle/settings/settings_check.h"

namespace bitnetd::supervisor {

struct Birth {
    // Reads the state table, where there is one.
    static Birth of(Inherited inherited);

    Inherited inherited;
    std::optional<Inheritance> before;
    std::optional<Error> refused;        // there is a state, and this build cannot use it
    std::vector<std::string> unclaimed;  // without `before`: names of descriptors, in the store too
    bool upgrades = false;               // executed in place of an older binary
};

// What to go by: the settings that the running processes were started with; a file that was changed
// since is a reload, later. `fresh`, the file's, where nothing runs. An error: neither can be used.
Result<Settings> settings_at_birth(const Birth& birth, const Result<Settings>& fresh);

// Ends the processes of a refused state: they would serve beside ours. Waits until they are gone.
void end_strangers(Inherited& inherited);

// The predecessor's sockets; those that systemd listens on for us; then what else is configured. Of
// a refused state the sockets whose addresses are configured: its descriptors are still in
// systemd's store, so that nobody else can listen there.
Result<Listeners> listeners_at_birth(Birth& birth, const Settings& settings);

// The predecessor's control socket, where it listens at `path`; else empty.
Fd inherit_control(Birth& birth, const std::string& path);

}  // namespace bitnetd::supervisor
