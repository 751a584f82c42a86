// bitnetctl: the operator's command. It asks a running server over its control socket, or looks
// into model files; it parses no model file and no byte of a client: `bitnetctl model info` and its
// like start a confined bitnetd-loader for one task (loader_session.h) and print its output. Files:
// command_line.h what may be asked. Of a server: server_command.h how it is done, control_client.h
// the conversation, answer_json.h and *_view.h what is shown, top.h, rollout_watch.h. Of files:
// model_command.h; streams.h and output_file.h in and out. Both: progress_line.h, interrupts.h
// Ctrl-C.
#include <cstdio>
#include <exception>

#include "common/config/exit_codes.h"
#include "common/log/log.h"
#include "supervisor/ctl/command_line.h"
#include "supervisor/ctl/model_command.h"
#include "supervisor/ctl/server_command.h"

int main(int argc, char** argv) {
    using namespace bitnetd;
    log::init("bitnetctl", log::Level::kWarn, log::Format::kAuto);
    try {
        const auto line = supervisor::read_ctl_command_line(argc, argv);
        if (!line.ok()) {
            std::fprintf(stderr, "bitnetctl: %s\n", line.error().message.c_str());
            return kExitUsage;
        }
        if (line->server_command) return supervisor::run_server_command(*line->server_command);
        if (line->command) return supervisor::run_model_command(*line->command);
        std::fputs(line->text.c_str(), stdout);
        return std::fflush(stdout) == 0 ? kExitOk : kExitFailed;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bitnetctl: %s\n", error.what());
        return kExitFailed;
    }
}
