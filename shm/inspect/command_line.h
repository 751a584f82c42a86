// What bitnet-shmdump may be told. Included by its main() and by what writes its manual page: both
// link CLI11, which nothing else here needs.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "common/config/control_path.h"

namespace bitnetd::shm {

struct DumpCommandLine {
    DumpCommandLine() {
        app.set_version_flag("--version", "bitnet-shmdump " BITNETD_VERSION);
        app.add_option("--control", control, control_help())->type_name("FILE");
        app.add_flag("--json", as_json, "One JSON array instead of text.");
    }
    DumpCommandLine(const DumpCommandLine&) = delete;
    DumpCommandLine& operator=(const DumpCommandLine&) = delete;

    CLI::App app{"bitnet-shmdump: shows the shared memory of a running bitnetd", "bitnet-shmdump"};
    std::string control;
    bool as_json = false;
};

}  // namespace bitnetd::shm
