// A Build: the programs and the settings with which processes are started. An upgrade or a changed
// configuration makes another one; slots move to it one by one, and back when it is no good.
#pragma once

#include <cstdint>
#include <memory>

#include "common/config/params.h"
#include "supervisor/lifecycle/process/executables.h"

namespace bitnetd::supervisor {

struct Build {
    uint64_t number = 0;  // counts up
    std::shared_ptr<const Executables> programs;
    Params params;
};

}  // namespace bitnetd::supervisor
