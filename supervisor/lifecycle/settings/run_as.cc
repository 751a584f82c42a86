#include "supervisor/lifecycle/settings/run_as.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

#include "common/log/log.h"

namespace bitnetd::supervisor {
namespace {

Result<passwd> find_user(const std::string& name, std::vector<char>& memory) {
    memory.resize(16 * 1024);
    passwd entry{};
    passwd* found = nullptr;
    const int error = getpwnam_r(name.c_str(), &entry, memory.data(), memory.size(), &found);
    if (error != 0) return io_error("server.user: look up \"" + name + "\"", error);
    if (found == nullptr) return invalid("server.user: there is no user \"" + name + "\"");
    return entry;
}

}  // namespace

Result<void> run_as(const std::string& user, const std::vector<std::string>& owned) {
    if (user.empty()) {
        if (geteuid() == 0) {
            log::warn("running_as_root", {{"hint", "set server.user, or start bitnetd as it"}});
        }
        return {};
    }
    std::vector<char> memory;
    BITNETD_ASSIGN(const passwd entry, find_user(user, memory));
    if (geteuid() != 0) {
        if (geteuid() == entry.pw_uid) return {};
        return invalid("server.user: only root can become \"" + user + "\"");
    }
    for (const std::string& path : owned) {
        if (chown(path.c_str(), entry.pw_uid, entry.pw_gid) != 0) {
            return io_error("give " + path + " to " + user, errno);
        }
    }
    if (initgroups(entry.pw_name, entry.pw_gid) != 0) return io_error("initgroups", errno);
    if (setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) != 0) {
        return io_error("setresgid", errno);
    }
    if (setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid) != 0) {
        return io_error("setresuid", errno);
    }
    // The change of user closed our own /proc/self/fd to us, through which segments are reopened
    // read-only.
    if (prctl(PR_SET_DUMPABLE, 1) != 0) return io_error("PR_SET_DUMPABLE", errno);
    log::info("user_changed", {{"user", user}});
    return {};
}

}  // namespace bitnetd::supervisor
