// Seals and read-only descriptors: what keeps one process from pulling memory from under another.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "shm/segment/segment.h"

namespace bitnetd::shm {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr int kWeightsSeals = kSizeSeals | F_SEAL_WRITE;

Result<void> check_sealed(int fd, int wanted, const char* what) {
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0) return io_error("read the seals of a segment (is it a memfd?)", errno);
    if ((seals & wanted) != wanted) {
        return invalid(std::string("a segment that must be sealed against ") + what +
                       " has seals " + std::to_string(seals) + ", expected at least " +
                       std::to_string(wanted));
    }
    return {};
}

}  // namespace

Result<void> seal_size(int fd) {
    if (fcntl(fd, F_ADD_SEALS, kSizeSeals) != 0)
        return io_error("seal the size of a segment", errno);
    return {};
}

Result<void> seal_weights(int fd) {
    if (fcntl(fd, F_ADD_SEALS, kWeightsSeals) == 0) return {};
    if (errno == EBUSY) {
        return io_error("seal a segment: somebody still maps it writable; unmap it first", EBUSY);
    }
    return io_error("seal a segment against writing", errno);
}

Result<void> check_size_sealed(int fd) {
    return check_sealed(fd, F_SEAL_SHRINK | F_SEAL_GROW, "resizing");
}

Result<void> check_weights_sealed(int fd) {
    return check_sealed(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE, "resizing and writing");
}

Result<Fd> reopen_read_only(int fd) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    Fd read_only(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!read_only) return io_error("reopen a segment read-only through " + path, errno);
    return read_only;
}

}  // namespace bitnetd::shm
