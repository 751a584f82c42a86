#include "common/confine/landlock.h"

#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/fd.h"

namespace bitnetd {

Result<bool> deny_file_system() {
    const long version =
        syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) return false;  // not built in, or switched off at boot
    // All rights of the first version: execute, read and write files, read and change directories.
    // No path is allowed any of them.
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = (uint64_t{LANDLOCK_ACCESS_FS_MAKE_SYM} << 1) - 1;
    const Fd ruleset(
        static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
    if (!ruleset) return io_error("make a Landlock ruleset", errno);
    if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
        return io_error("enter the Landlock ruleset", errno);
    }
    return true;
}

}  // namespace bitnetd
