// Params: the effective configuration. Read in order: defaults, TOML file, environment, flags.
// The supervisor reads all of it and hands each child a copy as "section.name=value" lines
// (kSettings).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/param_origins.h"

namespace bitnetd {

// One member per row of params.def, named section_name: params.http_body_bytes_max.
struct Params {
#define BITNETD_UINT(section, name, min, max, default_value, reload, help) \
    uint64_t section##_##name = default_value;
#define BITNETD_TEXT(section, name, default_value, reload, help) \
    std::string section##_##name = default_value;
#define BITNETD_LIST(section, name, reload, help) std::vector<std::string> section##_##name;
#include "common/config/params.def"
};

// What a change of a row takes; explained where the rows are.
enum class Reload : uint8_t {
    kLive,
    kFrontends,
    kWorkers,
    kBoth,
    kLoad,
    kAll,
    kModels,
    kListen,
    kRestart,
};

// What is known of a row without a Params: for --help, the example file and manual pages.
struct ParamRow {
    std::string_view section;
    std::string_view name;
    std::string_view help;
    bool is_list;
    std::string default_text;
    std::string range_text;  // "1 .. 64"; empty: a text
    Reload reload;

    std::string key() const { return std::string(section) + "." + std::string(name); }
};
const std::vector<ParamRow>& param_rows();

// The row of "section.name"; nullptr when there is none.
const ParamRow* find_param_row(std::string_view key);

// The rows in which the two differ, in the table's order. The order of a list's elements counts.
std::vector<ParamRow> changed_rows(const Params& before, const Params& after);

// Gives `to` the rows of these classes as `from` has them.
void copy_rows(Params& to, const Params& from, std::initializer_list<Reload> classes);

// Sets section.name from text; checks type and range. A list parameter gets one more element.
// The error names the parameter, what was expected and what was found.
Result<void> set_param(Params& params, std::string_view section, std::string_view name,
                       std::string_view text);

// Empties a list parameter, so that a later source replaces an earlier one's list.
void clear_list(Params& params, std::string_view section, std::string_view name);

// All of a TOML file; the error names the file and the line. A list in the file replaces the list.
Result<void> read_toml(Params& params, ParamOrigins& origins, const std::string& path);

// Every environment variable BITNETD_SECTION__KEY. An unknown one is an error, which names it; a
// list replaces the list.
Result<void> read_environment(Params& params, ParamOrigins& origins, char** environment);

// "section.name=value" lines, lists one line per element; parse_settings() reads them back.
std::string print_settings(const Params& params);
// Rows that this build does not know are passed over: the supervisor may be of a later one, which
// rolls its children after itself.
Result<Params> parse_settings(std::string_view lines);

}  // namespace bitnetd
