#include "supervisor/ctl/streams.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

namespace bitnetd::supervisor {
namespace {

constexpr size_t kPartBytes = 1u << 16;

Result<void> write_all(int to, std::span<const char> bytes, const std::string& what) {
    while (!bytes.empty()) {
        const ssize_t written = write(to, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return io_error("write " + what, errno);
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
}

void make_printable(std::span<char> text) {
    for (char& c : text) {
        if ((c < ' ' || c > '~') && c != '\n') c = '?';
    }
}

}  // namespace

Result<Fd> make_memfd(const char* name) {
    Fd memory(memfd_create(name, MFD_CLOEXEC));
    if (!memory) return io_error("memfd_create", errno);
    return memory;
}

Result<Fd> read_to_memfd(int from, const std::string& what, uint64_t bytes_max) {
    BITNETD_ASSIGN(Fd memory, make_memfd("bitnetctl-input"));
    std::vector<char> part(kPartBytes);
    uint64_t total = 0;
    while (true) {
        const ssize_t got = read(from, part.data(), part.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return io_error("read " + what, errno);
        if (got == 0) return memory;
        total += static_cast<uint64_t>(got);
        if (total > bytes_max) {
            return invalid(what + " is longer than " + std::to_string(bytes_max) + " bytes");
        }
        BITNETD_TRY(write_all(memory.get(), {part.data(), static_cast<size_t>(got)}, "a memfd"));
    }
}

Result<void> print_memfd(int memfd, int to, Printing printing) {
    std::vector<char> part(kPartBytes);
    off_t at = 0;
    while (true) {
        const ssize_t got = pread(memfd, part.data(), part.size(), at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return io_error("read the loader's output", errno);
        if (got == 0) return {};
        at += got;
        const std::span<char> bytes(part.data(), static_cast<size_t>(got));
        if (printing == Printing::kPrintable) make_printable(bytes);
        BITNETD_TRY(write_all(to, bytes, "standard output"));
    }
}

}  // namespace bitnetd::supervisor
