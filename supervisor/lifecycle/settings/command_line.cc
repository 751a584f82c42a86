#include "supervisor/lifecycle/settings/command_line.h"

#include <CLI/CLI.hpp>
#include <map>
#include <vector>

namespace bitnetd::supervisor {
namespace {

struct Flags {
    std::string config;
    bool check_config = false;
    bool print_effective_config = false;
    std::map<std::string, std::vector<std::string>> values;  // "section.name" -> texts
};

std::string help_of(const ParamRow& row) {
    std::string help(row.help);
    if (!row.range_text.empty()) help += " [" + row.range_text + "]";
    if (!row.default_text.empty()) help += " (default " + row.default_text + ")";
    return help;
}

// The short forms of usual flags.
struct ShortFlag {
    std::string_view key;
    std::string_view flag;
};
constexpr ShortFlag kShortFlags[] = {
    {"server.listen", "--listen"},
    {"server.model", "--model"},
    {"server.workers", "--workers"},
    {"model.tl_tiles", "--tl-tiles"},
};

// "--server.listen", with the short form before it where there is one.
std::string flag_names(const ParamRow& row) {
    const std::string key = row.key();
    for (const ShortFlag& usual : kShortFlags) {
        if (usual.key == key) return std::string(usual.flag) + ",--" + key;
    }
    return "--" + key;
}

constexpr const char* kDescription = "bitnetd: inference server for 1-bit and Llama-family models";

void add_flags(CLI::App& app, Flags& flags) {
    app.footer(
        "Each setting is also a key of the configuration file ([section] name = value) and an\n"
        "environment variable BITNETD_SECTION__NAME. Flags win over the environment, that over\n"
        "the file.");
    app.add_option("--config", flags.config, "Configuration file (TOML).")->type_name("FILE");
    app.add_flag("--check-config", flags.check_config,
                 "Check the effective configuration and say what is wrong with it.");
    app.add_flag("--print-effective-config", flags.print_effective_config,
                 "Print every setting as it would be used.");
    app.set_version_flag("--version", "bitnetd " BITNETD_VERSION);
    for (const ParamRow& row : param_rows()) {
        auto& texts = flags.values[row.key()];
        auto* option = app.add_option(flag_names(row), texts, help_of(row));
        option->group("[" + std::string(row.section) + "]")->expected(1);
        option->type_name(row.range_text.empty() ? "TEXT" : "N");
        // A flag given twice: a list gets both, a single value the last one.
        option->multi_option_policy(row.is_list ? CLI::MultiOptionPolicy::TakeAll
                                                : CLI::MultiOptionPolicy::TakeLast);
    }
}

Result<void> apply_flags(Params& params, ParamOrigins& origins, const Flags& flags) {
    constexpr const char* kPlace = "command line";
    for (const ParamRow& row : param_rows()) {
        const auto& texts = flags.values.at(row.key());
        if (texts.empty()) continue;
        clear_list(params, row.section, row.name);
        for (const std::string& text : texts) {
            auto set = set_param(params, row.section, row.name, text);
            if (!set.ok()) return std::move(set).error().within(kPlace);
        }
        origins.set(row.section, row.name, kPlace);
    }
    return {};
}

CommandLine show(std::string text) {
    CommandLine line;
    line.action = CommandLine::Action::kShowText;
    line.text = std::move(text);
    return line;
}

}  // namespace

void visit_command_line(const std::function<void(const CLI::App&)>& visit) {
    Flags flags;
    CLI::App app(kDescription, "bitnetd");
    add_flags(app, flags);
    visit(app);
}

Result<CommandLine> read_command_line(int argc, const char* const* argv, char** environment) {
    Flags flags;
    CLI::App app(kDescription, "bitnetd");
    try {
        add_flags(app, flags);
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        return show(app.help());
    } catch (const CLI::CallForVersion& version) {
        return show(std::string(version.what()) + "\n");
    } catch (const CLI::Error& error) {
        return invalid(std::string(error.what()) + "; bitnetd --help lists the flags");
    }

    CommandLine line;
    if (!flags.config.empty()) BITNETD_TRY(read_toml(line.params, line.origins, flags.config));
    BITNETD_TRY(read_environment(line.params, line.origins, environment));
    BITNETD_TRY(apply_flags(line.params, line.origins, flags));
    if (flags.check_config) line.action = CommandLine::Action::kCheckConfig;
    if (flags.print_effective_config) line.action = CommandLine::Action::kPrintSettings;
    return line;
}

Result<Settings> settings_of(const CommandLine& line) {
    auto settings = check_settings(line.params);
    if (!settings.ok()) return line.origins.locate(std::move(settings).error());
    return settings;
}

Result<Settings> read_settings(int argc, const char* const* argv, char** environment) {
    BITNETD_ASSIGN(const CommandLine line, read_command_line(argc, argv, environment));
    return settings_of(line);
}

}  // namespace bitnetd::supervisor
