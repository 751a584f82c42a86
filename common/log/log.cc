#include "common/log/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>

#include <nlohmann/json.hpp>

namespace bitnetd::log {
namespace {

bool g_json = false;
std::string g_role = "?";

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
        case Level::kDebug:
            return spdlog::level::debug;
        case Level::kInfo:
            return spdlog::level::info;
        case Level::kWarn:
            return spdlog::level::warn;
        case Level::kError:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

bool needs_quotes(std::string_view text) {
    if (text.empty()) return true;
    for (const char c : text) {
        if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\') return true;
    }
    return false;
}

// JSON string form of any bytes; ill-formed UTF-8 becomes U+FFFD.
std::string json_string(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string text_line(std::string_view event, Fields fields) {
    std::string line = "event=" + std::string(event);
    for (const Field& field : fields) {
        line += ' ';
        line += field.name;
        line += '=';
        line += field.quoted && needs_quotes(field.value) ? json_string(field.value) : field.value;
    }
    return line;
}

std::string json_line(std::string_view event, Fields fields) {
    std::string line = "\"role\":" + json_string(g_role) + ",\"event\":" + json_string(event);
    for (const Field& field : fields) {
        line += ',';
        line += json_string(field.name);
        line += ':';
        line += field.quoted ? json_string(field.value) : field.value;
    }
    return line;
}

}  // namespace

Field::Field(std::string_view name_, double number)
    : name(name_), value(nlohmann::json(number).dump()), quoted(false) {}

void init(std::string_view role, Level level, Format format) {
    g_role = role;
    const bool terminal = isatty(STDERR_FILENO) == 1;
    g_json = format == Format::kJson || (format == Format::kAuto && !terminal);
    // spdlog keeps loggers in a process-wide registry; a second init replaces the first.
    spdlog::drop("bitnetd");
    auto logger =
        terminal ? spdlog::stderr_color_mt("bitnetd") : spdlog::stderr_logger_mt("bitnetd");
    spdlog::set_default_logger(logger);
    spdlog::set_level(to_spdlog(level));
    const std::string time = terminal && !g_json ? "%H:%M:%S.%e" : "%Y-%m-%dT%H:%M:%S.%eZ";
    spdlog::set_pattern(g_json ? R"({"time":")" + time + R"(","level":"%l","process":%P,%v})"
                               : time + " %^%-7l%$ " + g_role + " %v",
                        spdlog::pattern_time_type::utc);
    spdlog::flush_on(spdlog::level::debug);
}

void set_level(Level level) {
    spdlog::set_level(to_spdlog(level));
}

bool set_level(std::string_view name) {
    Level level{};
    if (!parse_level(name, level)) return false;
    set_level(level);
    return true;
}

Result<void> reopen(int descriptor) {
    if (dup3(descriptor, STDERR_FILENO, 0) >= 0) return {};
    return io_error("replace standard error", errno);
}

bool parse_level(std::string_view name, Level& level) {
    if (name == "debug")
        level = Level::kDebug;
    else if (name == "info")
        level = Level::kInfo;
    else if (name == "warn")
        level = Level::kWarn;
    else if (name == "error")
        level = Level::kError;
    else
        return false;
    return true;
}

bool parse_format(std::string_view name, Format& format) {
    if (name == "auto")
        format = Format::kAuto;
    else if (name == "text")
        format = Format::kText;
    else if (name == "json")
        format = Format::kJson;
    else
        return false;
    return true;
}

void write(Level level, std::string_view event, Fields fields) {
    const auto to = to_spdlog(level);
    if (!spdlog::should_log(to)) return;
    spdlog::log(to, "{}", g_json ? json_line(event, fields) : text_line(event, fields));
}

}  // namespace bitnetd::log
