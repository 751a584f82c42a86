// Pages made from the table of settings (common/config/params.def).
#pragma once

#include <string>

#include "common/config/params.h"

namespace bitnetd::supervisor {

// "A reload replaces the frontends."
std::string_view reload_text(Reload reload);

// The configuration file with every setting at its default, commented out.
std::string example_file();

// bitnetd.toml(5).
std::string settings_manual();

}  // namespace bitnetd::supervisor
