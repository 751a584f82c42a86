#include "supervisor/lifecycle/handover/handover_list.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <set>

#include "common/base/quote.h"
#include "shm/segment/segment.h"
#include "supervisor/lifecycle/handover/fd_name.h"

namespace bitnetd::supervisor {
namespace {

constexpr std::string_view kHeading = "bitnetd-handover 1 ";
constexpr size_t kLineBytesMax = kFdNameBytesMax + 16;
constexpr size_t kTextBytesMax = (kHandoverFdsMax + 1) * kLineBytesMax;

// Takes the next line off `text`; nothing where no line end is left.
std::optional<std::string_view> take_line(std::string_view& text) {
    const size_t end = text.find('\n');
    if (end == text.npos) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    return line;
}

std::optional<int> number(std::string_view text) {
    int value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

Result<NamedFd> parse_line(std::string_view line) {
    const size_t space = line.find(' ');
    const auto fd = number(line.substr(0, space));
    if (space == line.npos || !fd || *fd <= STDERR_FILENO) {
        return invalid("hand-over: expected \"NUMBER NAME\" with a number above 2, found " +
                       quote(line));
    }
    const std::string_view name = line.substr(space + 1);
    BITNETD_TRY(check_fd_name(name));
    return NamedFd{std::string(name), *fd};
}

}  // namespace

std::string handover_text(const std::vector<NamedFd>& fds, pid_t pid) {
    std::string text = std::string(kHeading) + std::to_string(pid) + "\n";
    for (const NamedFd& item : fds)
        text += std::to_string(item.fd) + " " + item.name + "\n";
    return text;
}

Result<std::vector<NamedFd>> parse_handover(std::string_view text, pid_t pid) {
    const auto heading = take_line(text);
    if (!heading || !heading->starts_with(kHeading)) {
        return invalid("hand-over: expected \"" + std::string(kHeading) + "PID\" first, found " +
                       quote(heading.value_or(text)));
    }
    if (number(heading->substr(kHeading.size())) != pid) {
        return invalid("hand-over: made for process " + quote(heading->substr(kHeading.size())) +
                       ", this is " + std::to_string(pid));
    }
    std::vector<NamedFd> fds;
    std::set<int> numbers;
    while (!text.empty()) {
        const auto line = take_line(text);
        if (!line) return invalid("hand-over: ends within a line: " + quote(text));
        if (fds.size() == kHandoverFdsMax) {
            return invalid("hand-over: more than " + std::to_string(kHandoverFdsMax) +
                           " descriptors");
        }
        BITNETD_ASSIGN(NamedFd item, parse_line(*line));
        if (!numbers.insert(item.fd).second) {
            return invalid("hand-over: descriptor " + std::to_string(item.fd) + " is there twice");
        }
        fds.push_back(std::move(item));
    }
    return fds;
}

Result<Fd> make_handover_file(const std::string& text) {
    Fd file(memfd_create("bitnetd-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!file) return io_error("memfd_create", errno);
    size_t done = 0;
    while (done < text.size()) {
        const ssize_t written = write(file.get(), text.data() + done, text.size() - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return io_error("write the hand-over", errno);
        done += static_cast<size_t>(written);
    }
    BITNETD_TRY(shm::seal_weights(file.get()));
    return file;
}

Result<std::string> read_handover_file(int fd) {
    BITNETD_TRY(shm::check_weights_sealed(fd));
    struct stat info {};
    if (fstat(fd, &info) != 0) return io_error("fstat", errno);
    if (info.st_size < 0 || static_cast<uint64_t>(info.st_size) > kTextBytesMax) {
        return invalid("hand-over of " + std::to_string(info.st_size) + " bytes; at most " +
                       std::to_string(kTextBytesMax));
    }
    std::string text(static_cast<size_t>(info.st_size), '\0');
    size_t done = 0;
    while (done < text.size()) {
        const ssize_t got =
            pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return io_error("read the hand-over", got < 0 ? errno : EIO);
        done += static_cast<size_t>(got);
    }
    return text;
}

}  // namespace bitnetd::supervisor
