// Which files may be named over HTTP: those inside a configured directory, links resolved.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.h"

namespace bitnetd::supervisor {

// The path with all links resolved. kInvalid unless it lies in one of the directories, whose links
// are resolved as well. The message names no path that the caller did not send.
Result<std::string> path_in_models_dir(const std::vector<std::string>& directories,
                                       const std::string& path);

}  // namespace bitnetd::supervisor
