// Statements: the whole template. What the subset lacks (include, import, extends, call, ...) is
// refused here, at load, by name.
#pragma once

#include <string_view>

#include "common/base/result.h"
#include "common/text/jinja/ast.h"

namespace bitnetd::text::jinja {

inline constexpr uint32_t kStatementNestingMax = 64;

Result<Body> parse_template(std::string_view source);

}  // namespace bitnetd::text::jinja
