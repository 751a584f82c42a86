// Runs one of bitnetctl's commands that ask a running server.
#pragma once

#include "supervisor/ctl/server_commands.h"

namespace bitnetd::supervisor {

// Its exit code: kExitOk, kExitFailed, kExitUsage, kExitNoServer. Answers on standard output,
// progress and reasons on standard error. Does not return when a signal interrupted it.
int run_server_command(const ServerCommand& command);

}  // namespace bitnetd::supervisor
