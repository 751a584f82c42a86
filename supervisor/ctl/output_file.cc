#include "supervisor/ctl/output_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

namespace bitnetd::supervisor {
namespace {

constexpr mode_t kMode = 0666;  // less the umask

bool exists(const std::string& path) {
    struct stat info {};
    return lstat(path.c_str(), &info) == 0;
}

// Removes what an earlier run left, unless it is still at work.
Result<void> remove_stale(const std::string& partial) {
    const Fd stale(open(partial.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!stale) return errno == ENOENT ? Result<void>() : io_error("open " + partial, errno);
    if (flock(stale.get(), LOCK_EX | LOCK_NB) != 0) {
        return Error{ErrorCode::kUnavailable, partial + " is being written by another process"};
    }
    if (unlink(partial.c_str()) != 0) return io_error("remove " + partial, errno);
    return {};
}

// The name is durable when its folder is.
Result<void> sync_folder(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const Fd opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened) return io_error("open " + folder, errno);
    if (fsync(opened.get()) != 0 && errno != EINVAL) return io_error("fsync " + folder, errno);
    return {};
}

}  // namespace

Result<OutputFile> OutputFile::create(const std::string& path, bool replace) {
    const std::string partial = path + ".partial";
    if (replace) {
        BITNETD_TRY(remove_stale(partial));
    } else if (exists(path)) {
        return invalid(path + " exists; choose another name, or --force to replace it");
    }
    Fd fd(open(partial.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kMode));
    if (!fd && errno == EEXIST) {
        return invalid(partial +
                       " exists: an earlier run was interrupted, or one is at work now; remove it, "
                       "or --force to replace it");
    }
    if (!fd) return io_error("create " + partial, errno);
    // Held as long as the file is open, by us or by the loader we lend it to.
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return io_error("lock " + partial, errno);
    return OutputFile(path, replace, std::move(fd));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), replace_(other.replace_), fd_(std::move(other.fd_)) {}

OutputFile::~OutputFile() {
    if (fd_) unlink(partial().c_str());
}

Result<void> OutputFile::commit() {
    // A full disk may show only now.
    if (fsync(fd_.get()) != 0) return io_error("write " + partial() + " to disk", errno);
    const unsigned flags = replace_ ? 0 : RENAME_NOREPLACE;
    int renamed = renameat2(AT_FDCWD, partial().c_str(), AT_FDCWD, path_.c_str(), flags);
    // Some network file systems know no flags. There another writer may win a race against
    // exists().
    if (renamed != 0 && errno == EINVAL && !exists(path_)) {
        renamed = rename(partial().c_str(), path_.c_str());
    }
    if (renamed != 0) return io_error("rename " + partial() + " to " + path_, errno);
    fd_.reset();
    return sync_folder(path_);
}

}  // namespace bitnetd::supervisor
