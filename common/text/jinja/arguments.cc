#include "common/text/jinja/arguments.h"

#include <algorithm>

namespace bitnetd::text::jinja {

Result<std::vector<Value>> Arguments::take(std::initializer_list<std::string_view> names) const {
    if (positional.size() > names.size()) {
        return invalid("takes at most " + std::to_string(names.size()) + " arguments");
    }
    std::vector<Value> values = positional;
    values.resize(names.size());
    for (const auto& [name, value] : named) {
        const auto place = std::find(names.begin(), names.end(), name);
        const auto index = static_cast<size_t>(place - names.begin());
        if (place == names.end()) return invalid("has no argument '" + name + "'");
        if (index < positional.size()) return invalid("got '" + name + "' twice");
        values[index] = value;
    }
    return values;
}

}  // namespace bitnetd::text::jinja
