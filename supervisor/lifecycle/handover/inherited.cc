#include "supervisor/lifecycle/handover/inherited.h"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "common/base/quote.h"
#include "common/log/log.h"
#include "supervisor/lifecycle/handover/handover_list.h"

namespace bitnetd::supervisor {
namespace {

// The strings of sd_listen_fds_with_names().
struct ListenNames {
    char** names = nullptr;
    ~ListenNames() {
        for (char** name = names; name != nullptr && *name != nullptr; ++name)
            free(*name);
        free(names);
    }
};

Result<void> set_close_on_exec(int fd, std::string_view name) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) return {};
    return io_error("inherited descriptor " + std::to_string(fd) + " " + quote(name), errno);
}

}  // namespace

Result<Inherited> Inherited::collect() {
    Inherited inherited;
    BITNETD_TRY(inherited.collect_from_systemd());
    BITNETD_TRY(inherited.collect_from_exec());
    return inherited;
}

Result<void> Inherited::collect_from_systemd() {
    ListenNames list;
    // Checks LISTEN_PID, sets close-on-exec on each and removes the variables.
    const int count = sd_listen_fds_with_names(1, &list.names);
    if (count < 0) {
        return io_error("take the descriptors that LISTEN_FDS and LISTEN_FDNAMES name", -count);
    }
    for (int i = 0; i < count; ++i)
        fds_.emplace(list.names[i], Fd(SD_LISTEN_FDS_START + i));
    return {};
}

Result<void> Inherited::collect_from_exec() {
    const char* value = std::getenv(kHandoverVariable);
    if (value == nullptr) return {};
    const std::string text = value;
    unsetenv(kHandoverVariable);
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number <= STDERR_FILENO) {
        return invalid(std::string(kHandoverVariable) + " is " + quote(text) +
                       ", expected the number of a descriptor");
    }
    BITNETD_TRY(set_close_on_exec(number, kHandoverVariable));
    BITNETD_ASSIGN(const std::string list, read_handover_file(number));
    const Fd file(number);  // ours only now: what is no hand-over is somebody else's
    BITNETD_ASSIGN(const std::vector<NamedFd> fds, parse_handover(list, getpid()));
    // All of them first: after this no failure leaves one that a child would inherit.
    for (const NamedFd& item : fds)
        BITNETD_TRY(set_close_on_exec(item.fd, item.name));
    for (const NamedFd& item : fds)
        fds_.emplace(item.name, Fd(item.fd));
    from_exec_ = true;
    return {};
}

Fd Inherited::take(std::string_view name) {
    const auto found = fds_.lower_bound(name);
    if (found == fds_.end() || found->first != name) return {};
    Fd fd = std::move(found->second);
    fds_.erase(found);
    return fd;
}

std::vector<Fd> Inherited::take_all(std::string_view name) {
    std::vector<Fd> taken;
    while (Fd fd = take(name))
        taken.push_back(std::move(fd));
    return taken;
}

std::vector<std::string> Inherited::names() const {
    std::vector<std::string> names;
    for (const auto& [name, fd] : fds_) {
        if (names.empty() || names.back() != name) names.push_back(name);
    }
    return names;
}

size_t Inherited::count(std::string_view name) const {
    return fds_.count(name);
}

void Inherited::close_leftovers() {
    for (const std::string& name : names())
        log::warn("descriptor_unclaimed", {{"name", name}, {"count", count(name)}});
    fds_.clear();
}

}  // namespace bitnetd::supervisor
