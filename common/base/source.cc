#include "common/base/source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bitnetd {
namespace {

Result<void> check_range(uint64_t bytes, uint64_t offset, size_t wanted) {
    if (offset <= bytes && wanted <= bytes - offset) return {};
    return invalid("the file ends at byte " + std::to_string(bytes) + ", but " +
                   std::to_string(wanted) + " bytes are needed at byte " + std::to_string(offset));
}

class OwnedFile final : public Source {
  public:
    OwnedFile(Fd fd, FdSource source) : fd_(std::move(fd)), source_(source) {}

    uint64_t bytes() const override { return source_.bytes(); }
    Result<void> read_at(uint64_t offset, std::span<std::byte> out) override {
        return source_.read_at(offset, out);
    }

  private:
    Fd fd_;
    FdSource source_;  // of fd_
};

}  // namespace

Result<FdSource> FdSource::open(int fd) {
    struct stat status {};
    if (fstat(fd, &status) != 0) return io_error("look at the model file", errno);
    if (!S_ISREG(status.st_mode)) return invalid("the model is not a regular file");
    return FdSource(fd, static_cast<uint64_t>(status.st_size));
}

Result<void> FdSource::read_at(uint64_t offset, std::span<std::byte> out) {
    BITNETD_TRY(check_range(bytes_, offset, out.size()));
    while (!out.empty()) {
        const ssize_t got = pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return io_error("read the model file", errno);
        if (got == 0) return invalid("the file became shorter while it was read");
        out = out.subspan(static_cast<size_t>(got));
        offset += static_cast<uint64_t>(got);
    }
    return {};
}

Result<std::unique_ptr<Source>> own_file(Fd fd) {
    BITNETD_ASSIGN(const FdSource source, FdSource::open(fd.get()));
    return std::unique_ptr<Source>(std::make_unique<OwnedFile>(std::move(fd), source));
}

Result<void> MemorySource::read_at(uint64_t offset, std::span<std::byte> out) {
    BITNETD_TRY(check_range(bytes(), offset, out.size()));
    if (!out.empty()) std::memcpy(out.data(), memory_.data() + offset, out.size());
    return {};
}

}  // namespace bitnetd
