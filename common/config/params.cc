#include "common/config/params.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

namespace bitnetd {
namespace {

std::string key_of(std::string_view section, std::string_view name) {
    return std::string(section) + "." + std::string(name);
}

Result<uint64_t> parse_uint(std::string_view key, std::string_view text, uint64_t min,
                            uint64_t max) {
    std::string digits;
    for (const char c : text) {
        if (c != '_') digits += c;
    }
    uint64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc() || stop != end || value < min || value > max) {
        return invalid(std::string(key) + ": expected a number from " + std::to_string(min) +
                       " to " + std::to_string(max) + ", found \"" + std::string(text) + "\"");
    }
    return value;
}

Result<void> check_text(std::string_view key, std::string_view text) {
    if (text.size() > 4096) return invalid(std::string(key) + ": longer than 4096 bytes");
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < ' ') {
            return invalid(std::string(key) + ": control characters are not allowed");
        }
    }
    return {};
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
    return out;
}

struct Variable {
    std::string_view variable;  // BITNETD_SECTION__KEY
    std::string section;
    std::string name;
    std::string_view value;
};

// Of NAME=VALUE. Names without "__" are not settings (BITNETD_SEED and the like).
std::optional<Variable> parse_variable(std::string_view entry) {
    constexpr std::string_view kPrefix = "BITNETD_";
    const size_t equals = entry.find('=');
    const size_t split = entry.find("__");
    if (!entry.starts_with(kPrefix) || equals == entry.npos || split == entry.npos ||
        split > equals || split < kPrefix.size()) {
        return std::nullopt;
    }
    return Variable{entry.substr(0, equals),
                    lower(entry.substr(kPrefix.size(), split - kPrefix.size())),
                    lower(entry.substr(split + 2, equals - split - 2)), entry.substr(equals + 1)};
}

Result<void> set_variable(Params& params, const Variable& variable) {
    const ParamRow* row = find_param_row(key_of(variable.section, variable.name));
    std::string_view value = variable.value;
    if (row != nullptr && row->is_list) {
        clear_list(params, variable.section, variable.name);
        while (value.find(',') != value.npos) {
            BITNETD_TRY(set_param(params, variable.section, variable.name,
                                  value.substr(0, value.find(','))));
            value.remove_prefix(value.find(',') + 1);
        }
    }
    return set_param(params, variable.section, variable.name, value);
}

std::vector<ParamRow> make_rows() {
    std::vector<ParamRow> rows;
#define BITNETD_UINT(section, name, min, max, default_value, reload, help)                  \
    rows.push_back({#section, #name, help, false, std::to_string(uint64_t{default_value}),  \
                    std::to_string(uint64_t{min}) + " .. " + std::to_string(uint64_t{max}), \
                    Reload::reload});
#define BITNETD_TEXT(section, name, default_value, reload, help) \
    rows.push_back({#section, #name, help, false, default_value, "", Reload::reload});
#define BITNETD_LIST(section, name, reload, help) \
    rows.push_back({#section, #name, help, true, "", "", Reload::reload});
#include "common/config/params.def"
    return rows;
}

}  // namespace

const std::vector<ParamRow>& param_rows() {
    static const std::vector<ParamRow> rows = make_rows();
    return rows;
}

const ParamRow* find_param_row(std::string_view key) {
    const auto& rows = param_rows();
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const ParamRow& candidate) {
        return candidate.key() == key;
    });
    return row == rows.end() ? nullptr : &*row;
}

std::vector<ParamRow> changed_rows(const Params& before, const Params& after) {
    std::vector<ParamRow> changed;
    const auto compare = [&](std::string_view key, bool differs) {
        if (differs) changed.push_back(*find_param_row(key));
    };
#define BITNETD_UINT(section, name, min, max, default_value, reload, help) \
    compare(#section "." #name, before.section##_##name != after.section##_##name);
#define BITNETD_TEXT(section, name, default_value, reload, help) \
    compare(#section "." #name, before.section##_##name != after.section##_##name);
#define BITNETD_LIST(section, name, reload, help) \
    compare(#section "." #name, before.section##_##name != after.section##_##name);
#include "common/config/params.def"
    return changed;
}

void copy_rows(Params& to, const Params& from, std::initializer_list<Reload> classes) {
    const auto is_meant = [&](Reload reload) {
        return std::find(classes.begin(), classes.end(), reload) != classes.end();
    };
#define BITNETD_UINT(section, name, min, max, default_value, reload, help) \
    if (is_meant(Reload::reload)) to.section##_##name = from.section##_##name;
#define BITNETD_TEXT(section, name, default_value, reload, help) \
    if (is_meant(Reload::reload)) to.section##_##name = from.section##_##name;
#define BITNETD_LIST(section, name, reload, help) \
    if (is_meant(Reload::reload)) to.section##_##name = from.section##_##name;
#include "common/config/params.def"
}

Result<void> set_param(Params& params, std::string_view section, std::string_view name,
                       std::string_view text) {
    const std::string key = key_of(section, name);
    BITNETD_TRY(check_text(key, text));
#define BITNETD_UINT(row_section, row_name, min, max, default_value, reload, help)        \
    if (section == #row_section && name == #row_name) {                                   \
        BITNETD_ASSIGN(params.row_section##_##row_name, parse_uint(key, text, min, max)); \
        return {};                                                                        \
    }
#define BITNETD_TEXT(row_section, row_name, default_value, reload, help) \
    if (section == #row_section && name == #row_name) {                  \
        params.row_section##_##row_name = std::string(text);             \
        return {};                                                       \
    }
#define BITNETD_LIST(row_section, row_name, reload, help)    \
    if (section == #row_section && name == #row_name) {      \
        if (params.row_section##_##row_name.size() >= 64) {  \
            return invalid(key + ": more than 64 elements"); \
        }                                                    \
        params.row_section##_##row_name.emplace_back(text);  \
        return {};                                           \
    }
#include "common/config/params.def"
    return invalid(key + ": no such setting; bitnetd --help lists them");
}

void clear_list(Params& params, std::string_view section, std::string_view name) {
#define BITNETD_LIST(row_section, row_name, reload, help) \
    if (section == #row_section && name == #row_name) params.row_section##_##row_name.clear();
#include "common/config/params.def"
}

Result<void> read_environment(Params& params, ParamOrigins& origins, char** environment) {
    for (char** entry = environment; *entry != nullptr; ++entry) {
        const auto variable = parse_variable(*entry);
        if (!variable) continue;
        const std::string place = "environment " + std::string(variable->variable);
        auto set = set_variable(params, *variable);
        if (!set.ok()) return std::move(set).error().within(place);
        origins.set(variable->section, variable->name, place);
    }
    return {};
}

std::string print_settings(const Params& params) {
    std::string lines;
    const auto line = [&](std::string_view section, std::string_view name, std::string_view value) {
        lines += key_of(section, name) + "=" + std::string(value) + "\n";
    };
#define BITNETD_UINT(section, name, min, max, default_value, reload, help) \
    line(#section, #name, std::to_string(params.section##_##name));
#define BITNETD_TEXT(section, name, default_value, reload, help) \
    line(#section, #name, params.section##_##name);
#define BITNETD_LIST(section, name, reload, help)              \
    for (const std::string& element : params.section##_##name) \
        line(#section, #name, element);
#include "common/config/params.def"
    return lines;
}

Result<Params> parse_settings(std::string_view lines) {
    Params params;
    while (!lines.empty()) {
        const size_t end = std::min(lines.find('\n'), lines.size());
        const std::string_view text = lines.substr(0, end);
        lines.remove_prefix(std::min(end + 1, lines.size()));
        const size_t dot = text.find('.');
        const size_t equals = text.find('=');
        if (dot == text.npos || equals == text.npos || dot > equals) {
            return invalid("settings: expected section.name=value, found \"" + std::string(text) +
                           "\"");
        }
        const std::string_view section = text.substr(0, dot);
        const std::string_view name = text.substr(dot + 1, equals - dot - 1);
        if (find_param_row(key_of(section, name)) == nullptr) continue;
        BITNETD_TRY(set_param(params, section, name, text.substr(equals + 1)));
    }
    return params;
}

}  // namespace bitnetd
