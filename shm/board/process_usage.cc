#include "shm/board/process_usage.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "common/base/clock.h"

namespace bitnetd::shm {

Result<ProcessUsage> ProcessUsage::open() {
    Fd statm(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
    if (!statm) return io_error("open /proc/self/statm", errno);
    return ProcessUsage(std::move(statm));
}

// "SIZE RESIDENT SHARED ...", in pages.
uint64_t ProcessUsage::resident_bytes() const noexcept {
    char text[128];
    const ssize_t length = pread(statm_.get(), text, sizeof text, 0);
    if (length <= 0) return 0;
    const std::string_view line(text, static_cast<size_t>(length));
    const size_t blank = line.find(' ');
    if (blank == line.npos) return 0;
    uint64_t pages = 0;
    const auto read = std::from_chars(text + blank + 1, text + length, pages);
    if (read.ec != std::errc()) return 0;
    return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t ProcessUsage::cpu_ns() noexcept {
    return process_cpu_ns();
}

}  // namespace bitnetd::shm
