// Filters, tests and global functions by name. Names are resolved when a template is loaded, so
// that an unknown one is refused then and not in the middle of a request.
#pragma once

#include <string_view>

#include "common/text/jinja/arguments.h"
#include "common/text/jinja/budget.h"
#include "common/text/jinja/value.h"

namespace bitnetd::text::jinja {

using Filter = Result<Value> (*)(Context&, const Value& subject, const Arguments&);
using Test = Result<bool> (*)(Context&, const Value& subject, const Arguments&);
using Function = Result<Value> (*)(Context&, const Arguments&);

// Null when there is none of that name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
Function find_function(std::string_view name);

}  // namespace bitnetd::text::jinja
