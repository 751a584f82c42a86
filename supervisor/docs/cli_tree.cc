#include "supervisor/docs/cli_tree.h"

#include <CLI/CLI.hpp>

namespace bitnetd::supervisor {
namespace {

CliOption option_of(const CLI::Option& option) {
    CliOption out;
    for (const std::string& name : option.get_snames())
        out.flags.push_back("-" + name);
    for (const std::string& name : option.get_lnames())
        out.flags.push_back("--" + name);
    const bool positional = option.get_positional() && out.flags.empty();
    if (positional) {
        out.value = option.get_name(true);
    } else if (option.get_items_expected_max() > 0) {
        out.value = option.get_type_name();
    }
    out.help = option.get_description();
    out.group = option.get_group();
    out.required = option.get_required();
    return out;
}

CliCommand command_of(const CLI::App& app, const std::string& before) {
    CliCommand out;
    out.path = before + app.get_name();
    out.description = app.get_description();
    out.footer = app.get_footer();
    for (const CLI::Option* option : app.get_options())
        out.options.push_back(option_of(*option));
    for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; }))
        out.commands.push_back(command_of(*below, out.path + " "));
    return out;
}

void collect_leaves(const CliCommand& command, std::vector<const CliCommand*>& out) {
    if (command.commands.empty()) out.push_back(&command);
    for (const CliCommand& below : command.commands)
        collect_leaves(below, out);
}

}  // namespace

std::string CliCommand::synopsis() const {
    std::string text = path + " [OPTIONS]";
    for (const CliOption& option : options) {
        if (!option.flags.empty()) continue;
        text += option.required ? " " + option.value : " [" + option.value + "]";
    }
    return commands.empty() ? text : text + " COMMAND ...";
}

CliCommand cli_tree(const CLI::App& app) {
    return command_of(app, "");
}

std::vector<const CliCommand*> leaves(const CliCommand& root) {
    std::vector<const CliCommand*> out;
    collect_leaves(root, out);
    return out;
}

}  // namespace bitnetd::supervisor
