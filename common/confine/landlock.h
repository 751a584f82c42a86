// Landlock: takes the whole file system away, whatever system call asks for it. A second wall
// behind the seccomp filter, which knows calls but not paths.
#pragma once

#include "common/base/result.h"

namespace bitnetd {

// Needs no_new_privs. Descriptors that are open stay usable. False: the kernel has no Landlock.
Result<bool> deny_file_system();

}  // namespace bitnetd
