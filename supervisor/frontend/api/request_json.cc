#include "supervisor/frontend/api/request_json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bitnetd::frontend {
namespace {

// Depth and number of values, looked at before anything is allocated for them. Does not judge the
// grammar: the parser does.
std::optional<ApiError> check_size(std::string_view body) {
    // The parser takes a NUL for the end, whatever stands behind it.
    if (body.find('\0') != body.npos) return invalid_json("The body has a NUL character.");
    size_t depth = 0;
    size_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < body.size(); ++i) {
        const char c = body[i];
        if (in_string) {
            if (c == '\\') ++i;
            in_string = c != '"';
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '[' || c == '{') {
            if (++depth > kJsonDepthMax) {
                return invalid_json("The body is nested deeper than " +
                                    std::to_string(kJsonDepthMax) + " levels.");
            }
            ++values;
        }
        if ((c == ']' || c == '}') && depth > 0) --depth;
        if (c == ',' && ++values > kJsonValuesMax) {
            return invalid_json("The body has more than " + std::to_string(kJsonValuesMax) +
                                " values.");
        }
    }
    return std::nullopt;
}

std::string print(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", number);
    return text;
}

std::string range_text(const NumberBounds& bounds) {
    return std::string("a number ") + (bounds.above_min ? "above " : "from ") + print(bounds.min) +
           (bounds.above_min ? " and up to " : " to ") + print(bounds.max);
}

}  // namespace

std::optional<ApiError> parse_json_object(std::string_view body, OrderedJson& object) {
    if (auto error = check_size(body)) return error;
    if (const auto fault = read_ordered_json(body, object)) {
        if (fault->is_number_too_large)
            return invalid_json("The body holds a number that is too large.");
        return invalid_json("The body is not valid JSON: at byte " + std::to_string(fault->byte) +
                            ".");
    }
    if (!object.is_object()) return invalid_json("The body is not a JSON object.");
    return std::nullopt;
}

const OrderedJson* Fields::find(std::string_view name) {
    known_.emplace(name);
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> Fields::boolean(std::string_view name) {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_boolean()) return value->get<bool>();
    wrong(name, "true or false");
    return std::nullopt;
}

std::optional<double> Fields::number(std::string_view name, NumberBounds bounds) {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : NAN;
    const bool in_bounds = std::isfinite(number) && number <= bounds.max &&
                           (bounds.above_min ? number > bounds.min : number >= bounds.min);
    if (in_bounds) return number;
    wrong(name, range_text(bounds));
    return std::nullopt;
}

std::optional<uint64_t> Fields::integer(std::string_view name, uint64_t min, uint64_t max) {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_number_unsigned()) {
        const auto number = value->get<uint64_t>();
        if (number >= min && number <= max) return number;
    }
    const std::string most = max == UINT64_MAX ? "" : " to " + std::to_string(max);
    wrong(name, "a whole number from " + std::to_string(min) + most);
    return std::nullopt;
}

std::optional<uint64_t> Fields::wide_integer(std::string_view name) {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_number_unsigned()) return value->get<uint64_t>();
    if (value->is_number_integer()) return static_cast<uint64_t>(value->get<int64_t>());
    wrong(name, "a whole number from -2^63 to 2^64 - 1");
    return std::nullopt;
}

std::optional<std::string> Fields::text(std::string_view name, size_t bytes_max) {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_string() && value->get_ref<const std::string&>().size() <= bytes_max) {
        return value->get<std::string>();
    }
    wrong(name, "a string of at most " + std::to_string(bytes_max) + " bytes");
    return std::nullopt;
}

std::optional<size_t> Fields::choice(std::string_view name,
                                     std::initializer_list<std::string_view> choices) {
    const OrderedJson* value = find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) {
        const auto found =
            std::find(choices.begin(), choices.end(), value->get_ref<const std::string&>());
        if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
    }
    std::string expected = "one of";
    for (const std::string_view option : choices)
        expected += " '" + std::string(option) + "'";
    wrong(name, expected);
    return std::nullopt;
}

const OrderedJson* Fields::object(std::string_view name) {
    const OrderedJson* value = find(name);
    if (value == nullptr || value->is_object()) return value;
    wrong(name, "an object");
    return nullptr;
}

void Fields::ignore(std::initializer_list<std::string_view> names) {
    known_.insert(names.begin(), names.end());
}

void Fields::refuse_unknown() {
    for (const auto& [name, value] : object_.items()) {
        if (known_.contains(name)) continue;
        const std::string shown = path_ + name.substr(0, 64);
        fail(unsupported_parameter(shown, "'" + shown + "' is not a known field."));
        return;
    }
}

void Fields::fail(ApiError error) {
    if (!error_) error_ = std::move(error);
}

void Fields::wrong(std::string_view name, std::string_view expected) {
    const std::string shown = path_ + std::string(name);
    fail(invalid_value(shown, "'" + shown + "' must be " + std::string(expected) + "."));
}

}  // namespace bitnetd::frontend
