// The list of descriptors that a process gives to the program it executes in place: names and
// numbers, in a sealed memfd whose own number is in the environment (BITNETD_HANDOVER). Written by
// reexec.cc, read by inherited.cc of a build of the same hand-over version.
//
//   bitnetd-handover 1 PID
//   NUMBER NAME
//   ...
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

inline constexpr const char* kHandoverVariable = "BITNETD_HANDOVER";
inline constexpr size_t kHandoverFdsMax = 65536;  // more than any process may have open here

struct NamedFd {
    std::string name;
    int fd = -1;  // not owned
};

// The list as text, for the process `pid`.
std::string handover_text(const std::vector<NamedFd>& fds, pid_t pid);

// The descriptors of a list made for `pid`. kInvalid names the line that is wrong: a name that is
// not fit (fd_name.h), a number that was there before, another process. Whether they are open is
// for the caller to find out.
Result<std::vector<NamedFd>> parse_handover(std::string_view text, pid_t pid);

// A sealed memfd, close-on-exec, that holds `text`; and back.
Result<Fd> make_handover_file(const std::string& text);
Result<std::string> read_handover_file(int fd);

}  // namespace bitnetd::supervisor
