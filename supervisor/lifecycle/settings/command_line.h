// The command line of bitnetd. Every row of params.def is a flag --section.name; --listen, --model,
// --workers and --tl-tiles are short for the usual ones. Read in order: defaults, file,
// environment, flags; a list in a later source replaces the earlier one's.
#pragma once

#include <functional>
#include <string>

#include "common/base/result.h"
#include "common/config/params.h"
#include "supervisor/lifecycle/settings/settings_check.h"

namespace CLI {
class App;
}

namespace bitnetd::supervisor {

struct CommandLine {
    enum class Action : uint8_t { kRun, kCheckConfig, kPrintSettings, kShowText };
    Action action = Action::kRun;
    std::string text;  // of kShowText: the help or the version
    Params params;     // not yet checked as a whole
    ParamOrigins origins;
};

// Errors name the place: "b.toml:12: server.workers: expected ...".
Result<CommandLine> read_command_line(int argc, const char* const* argv, char** environment);

// The settings as a whole, checked; errors name the place likewise.
Result<Settings> settings_of(const CommandLine& line);

// All of it once more, for SIGHUP: with the argv and environment of the start, the file as it is
// now. Nothing is kept of an earlier call.
Result<Settings> read_settings(int argc, const char* const* argv, char** environment);

// Shows what is accepted, for manual pages and completion.
void visit_command_line(const std::function<void(const CLI::App&)>& visit);

}  // namespace bitnetd::supervisor
