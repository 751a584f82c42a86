#include "supervisor/ctl/command_line.h"

#include <CLI/CLI.hpp>

#include "supervisor/ctl/exit_help.h"

namespace bitnetd::supervisor {
namespace {

class Parser {
  public:
    Parser() {
        app_.set_version_flag("--version", "bitnetctl " BITNETD_VERSION);
        app_.require_subcommand(1);
        app_.footer(kServerExitHelp);
        CLI::App* model = app_.add_subcommand(
            "model",
            "Change which models a server serves; look into model files and convert them.");
        model->require_subcommand(1);
        model->footer(
            std::string("load, swap, rollback, remove and status ask a running server. The others "
                        "need none:\nthey read files in a confined process (bitnetd-loader) that "
                        "can open nothing itself.\n\n") +
            kServerExitHelp);
        add_server_commands(app_, *model, server_command_);
        add_file_commands(*model, file_command_);
    }

    void parse(int argc, const char* const* argv) { app_.parse(argc, argv); }
    // Of the command that was reached.
    std::string help() const {
        std::string text = app_.help();
        while (text.ends_with('\n'))
            text.pop_back();
        return text + "\n";
    }
    const CLI::App& app() const { return app_; }
    const ModelCommand& file_command() const { return file_command_; }
    const ServerCommand& server_command() const { return server_command_; }

  private:
    ModelCommand file_command_;
    ServerCommand server_command_;
    CLI::App app_{"bitnetctl: the operator's command for bitnetd", "bitnetctl"};
};

}  // namespace

Result<CtlCommandLine> read_ctl_command_line(int argc, const char* const* argv) {
    Parser parser;
    CtlCommandLine out;
    try {
        parser.parse(argc, argv);
        if (parser.server_command().command != shm::Command{}) {
            out.server_command = parser.server_command();
        } else {
            out.command = parser.file_command();
        }
    } catch (const CLI::CallForHelp&) {
        out.text = parser.help();
    } catch (const CLI::CallForVersion& version) {
        out.text = std::string(version.what()) + "\n";
    } catch (const CLI::ParseError& error) {
        return invalid(std::string(error.what()) + " (bitnetctl --help, bitnetctl COMMAND --help)");
    }
    return out;
}

void visit_ctl_command_line(const std::function<void(const CLI::App&)>& visit) {
    const Parser parser;
    visit(parser.app());
}

}  // namespace bitnetd::supervisor
