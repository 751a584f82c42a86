// The command line of bitnetctl. What it accepts, and all of --help, is in file_commands.cc and
// server_commands.cc.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "supervisor/ctl/file_commands.h"
#include "supervisor/ctl/server_commands.h"

namespace bitnetd::supervisor {

// One of the commands, or a text to show.
struct CtlCommandLine {
    std::optional<ModelCommand> command;
    std::optional<ServerCommand> server_command;
    std::string text;  // without a command: the help or the version
};

// The error says what is wrong and how to get help; it is the operator's (kExitUsage).
Result<CtlCommandLine> read_ctl_command_line(int argc, const char* const* argv);

// Shows what is accepted, for manual pages and completion.
void visit_ctl_command_line(const std::function<void(const CLI::App&)>& visit);

}  // namespace bitnetd::supervisor
