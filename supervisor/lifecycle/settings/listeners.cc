#include "supervisor/lifecycle/settings/listeners.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bitnetd::supervisor {
namespace {

// The kernel caps it at net.core.somaxconn. Large, because the queue holds what arrives while a
// frontend is replaced.
constexpr int kBacklog = 4096;

const sockaddr* raw(const ListenAddress& address) {
    return reinterpret_cast<const sockaddr*>(&address.address);
}

Error bind_error(const ListenAddress& address, int error) {
    const std::string text = listen_address_text(address.address, address.length);
    if (error == EADDRINUSE) {
        return {ErrorCode::kUnavailable, "cannot listen on " + text +
                                             ": another process has this address; stop it or "
                                             "choose another with --listen"};
    }
    return io_error("cannot listen on " + text, error);
}

Result<void> bind_tcp(int socket, const ListenAddress& address) {
    const int on = 1;
    if (setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        return io_error("SO_REUSEADDR", errno);
    }
    // Without this "[::]" would also take IPv4 and collide with "0.0.0.0".
    if (address.family() == AF_INET6 &&
        setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) {
        return io_error("IPV6_V6ONLY", errno);
    }
    if (bind(socket, raw(address), address.length) != 0) return bind_error(address, errno);
    return {};
}

Result<std::string> bound_address(int socket) {
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
        return io_error("getsockname", errno);
    }
    return listen_address_text(bound, length);
}

}  // namespace

Result<void> remove_stale_socket(const std::string& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) {
        if (errno == ENOENT) return {};
        return io_error(path, errno);
    }
    if (!S_ISSOCK(info.st_mode)) return invalid(path + " exists and is not a socket");
    BITNETD_ASSIGN(const ListenAddress address, parse_listen_address("unix:" + path));
    // Either kind of socket may lie there; a connect of the other kind says EPROTOTYPE, which means
    // that somebody listens.
    const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return io_error("socket", errno);
    if (connect(probe.get(), raw(address), address.length) == 0 || errno != ECONNREFUSED) {
        return Error{ErrorCode::kUnavailable, path + ": another process listens there"};
    }
    if (unlink(path.c_str()) != 0) return io_error("remove the stale socket " + path, errno);
    return {};
}

Result<void> bind_unix(int socket, const ListenAddress& address, mode_t mode) {
    const mode_t before = umask(static_cast<mode_t>(~mode & 0777u));
    const int bound = bind(socket, raw(address), address.length);
    const int error = errno;
    umask(before);
    if (bound != 0) return bind_error(address, error);
    return {};
}

Result<ListenAddress> bound_listen_address(int socket) {
    BITNETD_ASSIGN(const std::string text, bound_address(socket));
    return parse_listen_address(text);
}

Result<void> Listeners::open(const ListenAddress& address, mode_t unix_mode) {
    Listener listener{};
    listener.asked = address;
    listener.socket = Fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener.socket) return bind_error(address, errno);
    const int fd = listener.socket.get();
    if (address.unix_path.empty()) {
        BITNETD_TRY(bind_tcp(fd, address));
    } else {
        BITNETD_TRY(remove_stale_socket(address.unix_path));
        BITNETD_TRY(bind_unix(fd, address, unix_mode));
        listener.unix_path = address.unix_path;
    }
    if (listen(fd, kBacklog) != 0) return bind_error(address, errno);

    BITNETD_ASSIGN(listener.address, bound_address(fd));
    listener.number = next_number_++;
    listeners_.push_back(std::move(listener));
    return {};
}

Result<void> Listeners::adopt(Fd socket, const ListenAddress& asked, std::string unix_path,
                              std::optional<uint32_t> number) {
    int listening = 0;
    socklen_t length = sizeof listening;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0) {
        return io_error("inherited socket", errno);
    }
    if (listening == 0) return invalid("inherited socket: it does not listen");
    BITNETD_ASSIGN(std::string address, bound_address(socket.get()));
    // systemd's may block; ours never do.
    const int flags = fcntl(socket.get(), F_GETFL);
    if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
        return io_error("inherited socket", errno);
    }
    const uint32_t its = number.value_or(next_number_);
    next_number_ = std::max(next_number_, its + 1);
    listeners_.push_back({its, std::move(address), asked, std::move(unix_path), std::move(socket)});
    return {};
}

bool Listeners::has(const ListenAddress& asked) const {
    return std::any_of(listeners_.begin(), listeners_.end(),
                       [&](const Listener& listener) { return same(listener.asked, asked); });
}

bool Listeners::close(const ListenAddress& asked) {
    const auto found =
        std::find_if(listeners_.begin(), listeners_.end(),
                     [&](const Listener& listener) { return same(listener.asked, asked); });
    if (found == listeners_.end()) return false;
    if (!found->unix_path.empty()) unlink(found->unix_path.c_str());
    listeners_.erase(found);
    return true;
}

void Listeners::close_all() {
    for (const Listener& listener : listeners_) {
        if (!listener.unix_path.empty()) unlink(listener.unix_path.c_str());
    }
    listeners_.clear();
}

}  // namespace bitnetd::supervisor
