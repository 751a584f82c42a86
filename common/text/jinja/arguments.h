// The evaluated arguments of one call, and the one way builtins take them: by position or name,
// refusing what they do not know.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/text/jinja/value.h"

namespace bitnetd::text::jinja {

struct Arguments {
    std::vector<Value> positional;
    std::vector<std::pair<std::string, Value>> named;

    // The values of `names` in order; undefined where absent. An error for an argument too many,
    // given twice, or of another name.
    Result<std::vector<Value>> take(std::initializer_list<std::string_view> names) const;
};

}  // namespace bitnetd::text::jinja
