// What --help of every command says last.
#pragma once

namespace bitnetd::supervisor {

inline constexpr const char* kExitHelp =
    "Exit code: 0 done, 1 refused or failed (the reason is on standard error), 2 wrong usage.";
inline constexpr const char* kServerExitHelp =
    "Exit code: 0 done, 1 refused or failed or rolled back (the reason is on standard error),\n"
    "2 wrong usage, 6 no server answers at the control socket.";

}  // namespace bitnetd::supervisor
