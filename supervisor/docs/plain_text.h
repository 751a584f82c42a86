// Small things that all pages need.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bitnetd::supervisor {

// `text` in lines of at most `width` columns, broken at spaces; a longer word stays whole. Every
// line begins with `prefix` and ends with '\n'.
std::string wrapped(std::string_view text, size_t width, std::string_view prefix);

std::string joined(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace bitnetd::supervisor
