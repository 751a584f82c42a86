#include "worker/inspect/task_io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/source.h"

namespace bitnetd::worker {
namespace {

constexpr size_t kWriteBytesMax = 1u << 30;  // one write() takes less than 2 GiB

Error write_failed(int error) {
    std::string doing = "write the output";
    if (error == ENOSPC || error == EDQUOT) doing += " (free some space, or choose another place)";
    return io_error(doing, error);
}

}  // namespace

Result<std::string> read_input(int fd, std::string_view what, uint64_t bytes_max) {
    auto source = FdSource::open(fd);
    if (!source.ok()) return std::move(source).error().within(what);
    if (source->bytes() > bytes_max) {
        return invalid(std::string(what) + " has " + std::to_string(source->bytes()) +
                       " bytes; at most " + std::to_string(bytes_max));
    }
    std::string text(source->bytes(), '\0');
    auto read = source->read_at(0, std::as_writable_bytes(std::span(text)));
    if (!read.ok()) return std::move(read).error().within(what);
    return text;
}

Result<void> write_output(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written =
            write(fd, bytes.data(), std::min<size_t>(bytes.size(), kWriteBytesMax));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return write_failed(errno);
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
}

Result<void> write_output(int fd, std::string_view text) {
    return write_output(fd, std::as_bytes(std::span(text)));
}

}  // namespace bitnetd::worker
