// Methods of strings, dicts and loops: `content.split('x')`, `message.items()`. Only what reads;
// there is no way from a value to anything outside it.
#pragma once

#include <string_view>

#include "common/text/jinja/arguments.h"
#include "common/text/jinja/budget.h"
#include "common/text/jinja/value.h"

namespace bitnetd::text::jinja {

// Whether some kind of value has this method: checked when a template is loaded.
bool is_known_method(std::string_view name);
// Whether values of this kind have it (also methods that exist in Python and are refused here).
bool is_method(Kind kind, std::string_view name);

Result<Value> call_method(Context& context, const Value& self, std::string_view name,
                          const Arguments& arguments);

// loop.index and so on; undefined when there is no such attribute.
Value loop_attribute(const Loop& loop, std::string_view name);

}  // namespace bitnetd::text::jinja
