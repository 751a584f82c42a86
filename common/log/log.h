// Structured log lines: a stable event name and typed fields.
//
//   log::info("worker_ready", {{"worker", 2}, {"epoch", 7}, {"load_ms", 412}});
//   -> 2026-11-21T08:00:01.123Z info    worker event=worker_ready worker=2 epoch=7 load_ms=412
//
// At a terminal lines are coloured and have the time of day only; otherwise (or with [log] format =
// "json") they are one JSON object each. Tests and dashboards match on event names: never rename
// one. No prompt, text, key or token id of a client is ever logged. Any thread may log; a line is
// written at once.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::log {

enum class Level : uint8_t { kDebug, kInfo, kWarn, kError };

struct Field {
    std::string_view name;
    std::string value;
    bool quoted;  // text; numbers and booleans are bare

    Field(std::string_view name_, std::string_view text) : name(name_), value(text), quoted(true) {}
    Field(std::string_view name_, const char* text) : Field(name_, std::string_view(text)) {}
    Field(std::string_view name_, const std::string& text) : Field(name_, std::string_view(text)) {}
    Field(std::string_view name_, bool flag)
        : name(name_), value(flag ? "true" : "false"), quoted(false) {}
    template <std::integral T>
    Field(std::string_view name_, T number)
        : name(name_), value(std::to_string(number)), quoted(false) {}
    Field(std::string_view name_, double number);
};

using Fields = std::initializer_list<Field>;

enum class Format : uint8_t { kAuto, kText, kJson };

// Once at the start of main, before threads. `role` is printed in each line, for example
// "worker/0".
void init(std::string_view role, Level level, Format format);
void set_level(Level level);
bool parse_level(std::string_view name, Level& level);
// By name; false, and no change, when there is no such level.
bool set_level(std::string_view name);
// Lines go to what `descriptor` (which stays the caller's) names from here on: the file that took
// the place of one that was rotated away. Works in a confined process.
Result<void> reopen(int descriptor);
bool parse_format(std::string_view name, Format& format);

void write(Level level, std::string_view event, Fields fields);
inline void debug(std::string_view event, Fields fields = {}) {
    write(Level::kDebug, event, fields);
}
inline void info(std::string_view event, Fields fields = {}) {
    write(Level::kInfo, event, fields);
}
inline void warn(std::string_view event, Fields fields = {}) {
    write(Level::kWarn, event, fields);
}
inline void error(std::string_view event, Fields fields = {}) {
    write(Level::kError, event, fields);
}

}  // namespace bitnetd::log
