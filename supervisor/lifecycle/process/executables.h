// The programs that bitnetd starts, opened once at start (O_PATH) beside its own executable: a
// package upgrade that replaces the files never mixes an old frontend with a new worker.
#pragma once

#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"

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

// Whether a worker for this device ("cpu:0", "cuda:1") can be started.
Result<void> check_program_for(const Executables& programs, const std::string& device);

}  // namespace bitnetd::supervisor
