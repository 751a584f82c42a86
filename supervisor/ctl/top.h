// `bitnetctl top`: the status each second, on the whole terminal or as one text after the other.
#pragma once

#include <string>

#include "supervisor/ctl/interrupts.h"
#include "supervisor/ctl/server_commands.h"

namespace bitnetd::supervisor {

// Until `command.count` snapshots, q, or a signal; the exit code. On a terminal a server that goes
// away is waited for; elsewhere that ends it (kExitNoServer).
int run_top(const ServerCommand& command, const std::string& control,
            const shm::CommandMessage& message, Interrupts& interrupts);

}  // namespace bitnetd::supervisor
