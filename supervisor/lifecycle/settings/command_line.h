// The command line of bitnetd. Every row of params.def is a flag --section.name; --listen, --model,
// --workers and --tl-tiles are short for the usual ones. Read in order: defaults, file,
// environment, flags; a list in a later source replaces the earlier one's.
#pragma once

#include <string>

#include "common/base/result.h"
#include "common/config/params.h"

namespace bitnetd::supervisor {

struct CommandLine {
    enum class Action : uint8_t { kRun, kCheckConfig, kPrintSettings, kShowText };
    Action action = Action::kRun;
    std::string text;  // of kShowText: the help or the version
    Params params;     // not yet checked as a whole
};

Result<CommandLine> read_command_line(int argc, const char* const* argv, char** environment);

}  // namespace bitnetd::supervisor
