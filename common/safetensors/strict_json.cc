#include "common/safetensors/strict_json.h"

#include <cmath>
#include <set>

#include "common/base/quote.h"

namespace bitnetd::safetensors {
namespace {

using nlohmann::json;

// A value for a message: at most 64 characters of it.
std::string show(const json& value) {
    const std::string text = value.is_structured()
                                 ? std::string(value.type_name())
                                 : value.dump(-1, ' ', true, json::error_handler_t::replace);
    return text.size() <= 64 ? text : text.substr(0, 61) + "...";
}

std::string show(double value) {
    return json(value).dump();
}

}  // namespace

Result<json> parse_json_object(std::string_view text, size_t bytes_max) {
    if (text.size() > bytes_max) {
        return invalid("it has " + std::to_string(text.size()) + " bytes; at most " +
                       std::to_string(bytes_max) + " are read");
    }
    // The JSON reader takes a NUL for the end of its input.
    if (text.find('\0') != std::string_view::npos) return invalid("it holds a NUL");
    std::vector<std::set<std::string>> keys;
    std::optional<Error> error;
    const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
        using Event = json::parse_event_t;
        if (event == Event::object_start) keys.emplace_back();
        if (event == Event::object_end) keys.pop_back();
        if ((event == Event::object_start || event == Event::array_start) &&
            depth >= kJsonDepthMax && !error) {
            error = invalid("it is nested deeper than " + std::to_string(kJsonDepthMax));
        }
        if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second &&
            !error) {
            error = invalid("it repeats the key " + quote(parsed.get<std::string>()));
        }
        return !error.has_value();
    };
    json parsed = json::parse(text.begin(), text.end(), check, false);
    if (error) return std::move(*error);
    if (!parsed.is_object()) return invalid("it is not a JSON object");
    return parsed;
}

const json* Fields::find(std::string_view key) const {
    const auto at = object_->find(key);
    return at == object_->end() || at->is_null() ? nullptr : &*at;
}

Error Fields::wrong(std::string_view key, const std::string& expected) const {
    const json* value = find(key);
    return invalid(where_ + std::string(key) + ": expected " + expected + ", found " +
                   (value == nullptr ? "nothing" : show(*value)));
}

Found<uint64_t> Fields::integer(std::string_view key, uint64_t min, uint64_t max) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<uint64_t>();
    if (value->is_number_unsigned()) {
        const auto number = value->get<uint64_t>();
        if (number >= min && number <= max) return std::optional(number);
    }
    return wrong(key, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
}

Found<double> Fields::number(std::string_view key, double min, double max) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<double>();
    if (value->is_number()) {
        const auto number = value->get<double>();
        if (number >= min && number <= max) return std::optional(number);
    }
    return wrong(key, "a number from " + show(min) + " to " + show(max));
}

Found<bool> Fields::boolean(std::string_view key) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<bool>();
    if (value->is_boolean()) return std::optional(value->get<bool>());
    return wrong(key, "true or false");
}

Found<std::string> Fields::text(std::string_view key, size_t bytes_max) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<std::string>();
    if (value->is_string() && value->get_ref<const std::string&>().size() <= bytes_max) {
        return std::optional(value->get<std::string>());
    }
    return wrong(key, "a text of at most " + std::to_string(bytes_max) + " bytes");
}

Found<std::vector<std::string>> Fields::texts(std::string_view key) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<std::vector<std::string>>();
    const json list = value->is_array() ? *value : json::array({*value});
    std::vector<std::string> out;
    for (const json& element : list) {
        if (!element.is_string() || out.size() == kElementsMax ||
            element.get_ref<const std::string&>().size() > kTextBytesMax) {
            return wrong(key, "short texts, at most " + std::to_string(kElementsMax));
        }
        out.push_back(element.get<std::string>());
    }
    return std::optional(std::move(out));
}

Found<std::vector<uint64_t>> Fields::integers(std::string_view key, uint64_t max) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<std::vector<uint64_t>>();
    const json list = value->is_array() ? *value : json::array({*value});
    std::vector<uint64_t> out;
    for (const json& element : list) {
        if (!element.is_number_unsigned() || element.get<uint64_t>() > max ||
            out.size() == kElementsMax) {
            return wrong(key, "integers from 0 to " + std::to_string(max) + ", at most " +
                                  std::to_string(kElementsMax));
        }
        out.push_back(element.get<uint64_t>());
    }
    return std::optional(std::move(out));
}

Found<Fields> Fields::object(std::string_view key) const {
    const json* value = find(key);
    if (value == nullptr) return std::optional<Fields>();
    if (!value->is_object()) return wrong(key, "an object");
    return std::optional(Fields(*value, where_ + std::string(key) + "."));
}

}  // namespace bitnetd::safetensors
