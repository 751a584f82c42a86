#include <algorithm>

#include "shm/inspect/inspect.h"

namespace bitnetd::shm {
namespace {
using Json = nlohmann::ordered_json;

std::string scalar(const Json& value) {
    if (value.is_null()) return "-";
    return value.is_string() ? value.get<std::string>() : value.dump();
}

// {"record": "token", "flight": 3} -> "token flight=3"; the record's kind has no name in front.
std::string one_line(const Json& object) {
    std::string line;
    for (const auto& [name, value] : object.items()) {
        if (!line.empty()) line += ' ';
        line += name == "record" ? scalar(value) : name + "=" + scalar(value);
    }
    return line;
}

}  // namespace

std::string to_text(const Json& value, size_t indent) {
    const std::string margin(indent, ' ');
    size_t width = 0;
    for (const auto& [name, part] : value.items()) {
        if (part.is_primitive()) width = std::max(width, name.size());
    }
    std::string text;
    for (const auto& [name, part] : value.items()) {
        if (part.is_object()) {
            text += margin + name + "\n" + to_text(part, indent + 2);
        } else if (part.is_array()) {
            text += margin + name + "\n";
            for (const Json& element : part)
                text += margin + "  " + one_line(element) + "\n";
        } else {
            text += margin + name + std::string(width - name.size() + 2, ' ') + scalar(part) + "\n";
        }
    }
    return text;
}

}  // namespace bitnetd::shm
