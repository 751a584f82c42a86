// bitnetctl: the operator's command. It parses no model file and no byte of a client: `bitnetctl
// model` starts a confined bitnetd-loader for one task (loader_session.h) and prints its output.
// Files: command_line.h what may be asked; model_command.h how it is done; streams.h, output_file.h
// and progress_line.h in and out; interrupts.h Ctrl-C.
#include <cstdio>
#include <exception>

#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "supervisor/ctl/command_line.h"
#include "supervisor/ctl/model_command.h"

int main(int argc, char** argv) {
    using namespace bitnetd;
    log::init("bitnetctl", log::Level::kWarn, log::Format::kAuto);
    try {
        const auto line = supervisor::read_ctl_command_line(argc, argv);
        if (!line.ok()) {
            std::fprintf(stderr, "bitnetctl: %s\n", line.error().message.c_str());
            return kExitUsage;
        }
        if (line->command) return supervisor::run_model_command(*line->command);
        std::fputs(line->text.c_str(), stdout);
        return std::fflush(stdout) == 0 ? kExitOk : kExitFailed;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bitnetctl: %s\n", error.what());
        return kExitFailed;
    }
}
