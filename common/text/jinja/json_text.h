// JSON in and out: request values become template values with their marks; the tojson filter writes
// what Python's json.dumps writes.
#pragma once

#include <nlohmann/json.hpp>

#include "common/text/jinja/budget.h"
#include "common/text/jinja/value.h"

namespace bitnetd::text::jinja {

// Strings are marked as the caller's, except the value of a key "role" that is one of the usual
// words: templates build markers such as '<|' + role + '|>' from it. `trusted` marks all as the
// template's.
Result<Value> from_json(Context& context, const nlohmann::ordered_json& json, bool trusted);

struct JsonStyle {
    int indent = -1;  // spaces per level; negative: one line
    bool ensure_ascii = false;
    bool sort_keys = false;
    std::string item_separator = ", ";
    std::string key_separator = ": ";
};
Result<MarkedText> to_json(Context& context, const Value& value, const JsonStyle& style);

}  // namespace bitnetd::text::jinja
