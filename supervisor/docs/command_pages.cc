#include "supervisor/docs/command_pages.h"

#include "common/config/exit_codes.h"
#include "supervisor/docs/cli_tree.h"
#include "supervisor/docs/man_page.h"
#include "supervisor/docs/plain_text.h"

namespace bitnetd::supervisor {
namespace {

void add_option(ManPage& page, const CliOption& option) {
    std::string term = joined(option.flags, ", ");
    if (!option.value.empty()) term += (term.empty() ? "" : " ") + option.value;
    page.item(term, option.help);
}

// Without what one section of the page says for all commands.
std::string without_exit_codes(const std::string& footer) {
    std::string text = footer.substr(0, footer.find("Exit code:"));
    while (text.ends_with('\n'))
        text.pop_back();
    return text;
}

bool is_help(const CliOption& option) {
    return option.flags.size() == 2 && option.flags.back() == "--help";
}

// Settings have a group in brackets; bitnetd.toml(5) tells of them.
bool is_setting(const CliOption& option) {
    return option.group.starts_with('[');
}

void add_exit_codes(ManPage& page, std::initializer_list<ExitCode> codes) {
    page.heading("EXIT STATUS");
    for (const ExitCodeMeaning& row : kExitCodes) {
        for (const ExitCode code : codes) {
            if (row.code == code) page.item(std::to_string(code), row.meaning);
        }
    }
}

// What the pages of all tools that ask a server end with.
void end_tool(ManPage& page, std::string_view see_also) {
    page.heading("ENVIRONMENT");
    page.item("BITNETD_SERVER__CONTROL", "The control socket, where --control is not given.");
    add_exit_codes(page, {kExitOk, kExitFailed, kExitUsage, kExitNoServer});
    page.heading("SEE ALSO");
    page.paragraph(see_also);
}

struct Signal {
    std::string_view name;
    std::string_view meaning;
};
constexpr Signal kSignals[] = {
    {"SIGHUP",
     "Read the configuration again, check all of it, and apply it only when all of it is right."},
    {"SIGTERM, SIGINT", "Finish what runs, take nothing new, stop; a second one stops at once."},
    {"SIGUSR1", "Open the log files again."},
    {"SIGUSR2",
     "Continue as the program that is on disk now, with the same pid and children; then replace "
     "frontends and workers by theirs."},
    {"SIGQUIT", "Stop at once."},
};

}  // namespace

std::string server_manual(const CLI::App& app) {
    const CliCommand root = cli_tree(app);
    ManPage page("bitnetd", 8, "inference server for 1-bit and Llama-family models");
    page.heading("SYNOPSIS");
    page.command("bitnetd [--config FILE] [--section.key VALUE]...");
    page.heading("DESCRIPTION");
    page.paragraph(
        "bitnetd serves language models over HTTP. It supervises frontends, which talk to clients, "
        "and workers, which compute; whichever dies is replaced, and what it was doing is resumed. "
        "Models, configuration and programs are changed while it runs, without losing a request: "
        "see bitnetctl(1).");
    page.heading("OPTIONS");
    for (const CliOption& option : root.options) {
        if (!is_setting(option)) add_option(page, option);
    }
    page.paragraph(
        "Every setting of bitnetd.toml(5) is an option as well: server.workers is --server.workers "
        "N. These have a short form:");
    for (const CliOption& option : root.options) {
        if (is_setting(option) && option.flags.size() > 1) add_option(page, option);
    }
    page.heading("ENVIRONMENT");
    page.item("BITNETD_SECTION__KEY",
              "A setting: BITNETD_SERVER__WORKERS=2. Lists are separated by commas.");
    page.heading("SIGNALS");
    for (const Signal& signal : kSignals)
        page.item(signal.name, signal.meaning);
    add_exit_codes(page,
                   {kExitOk, kExitUsage, kExitCannotListen, kExitModelRefused, kExitInternal});
    page.heading("SEE ALSO");
    page.paragraph("bitnetd.toml(5), bitnetctl(1), bitnet-shmdump(1)");
    return page.text();
}

std::string control_manual(const CLI::App& app) {
    const CliCommand root = cli_tree(app);
    ManPage page("bitnetctl", 1, "the operator's command for bitnetd");
    page.heading("SYNOPSIS");
    const auto commands = leaves(root);
    for (const CliCommand* command : commands)
        page.command(command->synopsis());
    page.paragraph("Every command has --help.");
    page.heading("COMMANDS");
    for (const CliCommand* command : commands) {
        page.subheading(command->synopsis());
        page.paragraph(command->description);
        const std::string more = without_exit_codes(command->footer);
        if (!more.empty()) page.paragraph(more);
        for (const CliOption& option : command->options) {
            if (!is_help(option)) add_option(page, option);
        }
    }
    end_tool(page, "bitnet-shmdump(1), bitnetd(8), bitnetd.toml(5)");
    return page.text();
}

std::string dump_manual(const CLI::App& app) {
    const CliCommand root = cli_tree(app);
    ManPage page("bitnet-shmdump", 1, "shows the shared memory of a running bitnetd");
    page.heading("SYNOPSIS");
    page.command("bitnet-shmdump [--control FILE] [--json]");
    page.heading("DESCRIPTION");
    page.paragraph(
        "Asks a running bitnetd for read-only descriptors of its rings and boards, those of the "
        "last dead processes too, and prints what is in them: who wrote what and how far, what "
        "waits, last words. It can change nothing, and shows no token of a client.");
    page.heading("OPTIONS");
    for (const CliOption& option : root.options)
        add_option(page, option);
    end_tool(page, "bitnetctl(1), bitnetd(8)");
    return page.text();
}

}  // namespace bitnetd::supervisor
