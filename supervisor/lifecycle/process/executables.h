// The programs that bitnetd starts, opened once at start (O_PATH) beside its own executable: a
// package upgrade that replaces the files never mixes an old frontend with a new worker.
#pragma once

#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/lifecycle/handover/handover_list.h"
#include "supervisor/lifecycle/handover/inherited.h"

namespace bitnetd::supervisor {

struct Executables {
    Fd frontend;
    Fd worker;
    Fd worker_cuda;  // empty: none is installed
    Fd loader;
};

// The path of the running executable, links resolved: of an upgraded package it names the new one.
Result<std::string> own_program();
std::string folder_of(const std::string& path);

Result<Executables> open_executables(const std::string& folder);

// The programs of a predecessor, under these names; those that did not come through are opened in
// `folder`.
Result<Executables> inherit_executables(Inherited& inherited, const std::string& folder);
std::vector<NamedFd> named(const Executables& programs);

// Whether a worker for this device ("cpu:0", "cuda:1") can be started.
Result<void> check_program_for(const Executables& programs, const std::string& device);

}  // namespace bitnetd::supervisor
