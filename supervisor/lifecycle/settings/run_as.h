// Gives up being root, for good. Supervisor, main thread, before it starts anything.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::supervisor {

// A process that was started as root becomes `user` (with that user's groups); one that was not
// stays who it is, and it is an error to ask for another. An empty name asks for nothing. `owned`:
// files that shall be that user's, sockets in the file system.
Result<void> run_as(const std::string& user, const std::vector<std::string>& owned);

}  // namespace bitnetd::supervisor
