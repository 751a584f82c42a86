// Where the tools of an operator find a server: one rule for bitnetctl and bitnet-shmdump.
#pragma once

#include <string>

namespace bitnetd {

inline constexpr const char* kDefaultControl = "/run/bitnetd/control.sock";

// What --control says; where it says nothing BITNETD_SERVER__CONTROL, else kDefaultControl.
std::string control_path(const std::string& said);

// Of --control, for --help.
std::string control_help();

}  // namespace bitnetd
