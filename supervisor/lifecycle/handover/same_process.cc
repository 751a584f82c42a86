#include "supervisor/lifecycle/handover/same_process.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

namespace bitnetd::supervisor {
namespace {

constexpr int kStartTimeField = 22;  // of /proc/PID/stat, counted from 1 as proc(5) does

Error gone(pid_t pid) {
    return {ErrorCode::kNotFound, "process " + std::to_string(pid) + " is gone"};
}

}  // namespace

Result<uint64_t> process_start_ticks(pid_t pid) {
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line)) return gone(pid);
    // Field 2 is the name in parentheses, which may hold spaces and parentheses itself.
    const size_t name_end = line.rfind(')');
    if (name_end == line.npos) return invalid(path + " has no name");
    std::istringstream fields(line.substr(name_end + 1));
    std::string skipped;
    for (int field = 3; field < kStartTimeField; ++field)
        fields >> skipped;
    uint64_t ticks = 0;
    if (!(fields >> ticks)) return invalid(path + " has no start time");
    return ticks;
}

Result<Fd> open_process(pid_t pid, uint64_t start_ticks) {
    Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd) {
        if (errno == ESRCH) return gone(pid);
        return io_error("pidfd_open of process " + std::to_string(pid), errno);
    }
    // The descriptor holds on to one process; were it another's, the start would be another.
    BITNETD_ASSIGN(const uint64_t found, process_start_ticks(pid));
    if (found != start_ticks) return gone(pid);
    return pidfd;
}

}  // namespace bitnetd::supervisor
