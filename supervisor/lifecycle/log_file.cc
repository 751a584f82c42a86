#include "supervisor/lifecycle/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "common/log/log.h"

namespace bitnetd::supervisor {

LogFile LogFile::of_standard_error() {
    LogFile file;
    struct stat info {};
    if (fstat(STDERR_FILENO, &info) != 0 || !S_ISREG(info.st_mode)) return file;
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/fd/2", path, sizeof path);
    if (length > 0) file.path_.assign(path, static_cast<size_t>(length));
    return file;
}

Result<Fd> LogFile::reopen() const {
    if (path_.empty()) {
        return Error{ErrorCode::kUnsupported, "standard error is no file: nothing to open again"};
    }
    Fd file(open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
    if (!file) return io_error("open " + path_, errno);
    BITNETD_TRY(log::reopen(file.get()));
    return file;
}

}  // namespace bitnetd::supervisor
