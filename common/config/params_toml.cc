// Reads the configuration file. Kept apart from params.cc because toml++ is slow to compile.
#include <toml++/toml.h>

#include "common/config/params.h"

namespace bitnetd {
namespace {

std::string place(const std::string& path, const toml::source_region& source) {
    if (source.begin.line == 0) return path;  // the file as a whole
    return path + ":" + std::to_string(source.begin.line);
}

Result<void> set_value(Params& params, std::string_view section, std::string_view name,
                       const toml::node& node) {
    if (const auto* text = node.as_string()) return set_param(params, section, name, text->get());
    if (const auto* number = node.as_integer()) {
        return set_param(params, section, name, std::to_string(number->get()));
    }
    if (const auto* flag = node.as_boolean()) {
        return set_param(params, section, name, flag->get() ? "1" : "0");
    }
    return invalid(std::string(section) + "." + std::string(name) +
                   ": expected a number, text, true or false, or a list of texts");
}

Result<void> set_setting(Params& params, std::string_view section, std::string_view name,
                         const toml::node& node) {
    const auto* list = node.as_array();
    if (list == nullptr) return set_value(params, section, name, node);
    const ParamRow* row = find_param_row(std::string(section) + "." + std::string(name));
    if (row != nullptr && !row->is_list) {
        return invalid(row->key() + ": expected one value, found a list");
    }
    clear_list(params, section, name);
    for (const toml::node& element : *list) {
        BITNETD_TRY(set_value(params, section, name, element));
    }
    return {};
}

}  // namespace

Result<void> read_toml(Params& params, ParamOrigins& origins, const std::string& path) {
    toml::table table;
    try {
        table = toml::parse_file(path);
    } catch (const toml::parse_error& error) {
        return invalid(place(path, error.source()) + ": " + std::string(error.description()));
    }
    for (const auto& [section, settings] : table) {
        const auto* rows = settings.as_table();
        if (rows == nullptr) {
            return invalid(place(path, settings.source()) +
                           ": expected a [section], found the setting \"" +
                           std::string(section.str()) + "\"");
        }
        for (const auto& [name, node] : *rows) {
            auto set = set_setting(params, section.str(), name.str(), node);
            const std::string where = place(path, node.source());
            if (!set.ok()) return std::move(set).error().within(where);
            origins.set(section.str(), name.str(), where);
        }
    }
    return {};
}

}  // namespace bitnetd
