// The command line of bitnetctl. What it accepts, and all of --help, is in command_line.cc.
#pragma once

#include <optional>
#include <string>

#include "common/base/result.h"
#include "shm/abi/control_abi.h"

namespace bitnetd::supervisor {

// One of `bitnetctl model ...`.
struct ModelCommand {
    shm::Task task{};
    std::string model;  // path: a GGUF file, the first part of a split one, or a directory
    // What files do not say: params.def, model.*.
    std::string i2s_layout = "128/32";
    std::string tl_tiles;
    bool json = false;
    bool add_special = false;
    bool parse_special = false;
    std::string template_path;  // empty: the model's template
    std::string out;            // convert
    bool force = false;
    std::string ternary_type = "I2_S";
    std::string float_type;  // empty: as stored
};

struct CtlCommandLine {
    std::optional<ModelCommand> command;
    std::string text;  // without a command: the help or the version
};

// The error says what is wrong and how to get help; it is the operator's (kExitUsage).
Result<CtlCommandLine> read_ctl_command_line(int argc, const char* const* argv);

}  // namespace bitnetd::supervisor
