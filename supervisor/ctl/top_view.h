// What `bitnetctl top` shows: the status, and what changed since the last one as rates.
#pragma once

#include <string>

#include "supervisor/ctl/answer_json.h"

namespace bitnetd::supervisor {

// `before` is the status `seconds` earlier; empty: there is none, rates are not shown. A process
// that is another incarnation than before has no rates either.
std::string top_text(const Json& status, const Json& before, double seconds);

// At most `rows` lines of at most `columns` bytes each.
std::string clipped(const std::string& text, size_t rows, size_t columns);

}  // namespace bitnetd::supervisor
