// Whether a pid still names the process that it once did. Where a pidfd was handed over it says so
// itself; this is for where none came through.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

// When the process started, in clock ticks since boot (/proc/PID/stat). With the pid it is unique.
// kNotFound when there is no such process.
Result<uint64_t> process_start_ticks(pid_t pid);

// A pidfd of the process of that pid that started then; kNotFound when it is gone, and also when
// another one has its pid now.
Result<Fd> open_process(pid_t pid, uint64_t start_ticks);

}  // namespace bitnetd::supervisor
