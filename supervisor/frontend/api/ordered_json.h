// JSON whose objects keep the order in which the client wrote their keys: chat templates print
// tools and tool calls, and a model was trained on one order. nlohmann's own reader for this type
// looks for duplicates at each key, which is quadratic; this one sorts once per object. Any thread.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace bitnetd::frontend {

using OrderedJson = nlohmann::ordered_json;

struct JsonFault {
    bool is_number_too_large;  // else the grammar is broken
    size_t byte;               // where reading stopped, from 1
};

// Reads one JSON value and nothing behind it, strictly (UTF-8, no lone surrogates, no NaN). Of
// duplicate keys the last value counts, at the place of the first. Time and memory are linear in
// `text` but for sorting the keys of an object; the caller bounds depth and number of values. The
// fault, if any; `value` is then unspecified.
std::optional<JsonFault> read_ordered_json(std::string_view text, OrderedJson& value);

}  // namespace bitnetd::frontend
