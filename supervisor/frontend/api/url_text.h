// The texts inside a request target. Untrusted; pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace bitnetd::frontend {

// %XX undone; nothing when an escape is broken.
std::optional<std::string> percent_decode(std::string_view text);

// The first value of that name in "a=1&b=2", decoded; nothing when absent or broken.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace bitnetd::frontend
