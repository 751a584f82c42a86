// The listening sockets. They belong to the supervisor and outlive every frontend: while one is
// replaced, new connections wait in the kernel's queue. One socket per address, shared by all
// frontends (closing one of several SO_REUSEPORT sockets would lose its queue).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "supervisor/lifecycle/settings/listen_address.h"

namespace bitnetd::supervisor {

// A socket that someone left behind in the file system (nobody listens on it) is removed; anything
// else at the path, and a live listener, is an error. Also used for the control socket.
Result<void> remove_stale_socket(const std::string& path);

// Binds `socket` to a unix address with these permissions from the first moment on. Main thread: it
// changes the process's umask for the length of the call.
Result<void> bind_unix(int socket, const ListenAddress& address, mode_t mode);

// The address that a listening socket was bound to.
Result<ListenAddress> bound_listen_address(int socket);

class Listeners {
  public:
    struct Listener {
        uint32_t number;      // its own as long as it is open, whichever others are closed
        std::string address;  // as bound: a port 0 is replaced by the chosen one
        ListenAddress asked;  // as configured
        std::string unix_path;
        Fd socket;
    };

    Listeners() = default;
    Listeners(Listeners&&) = default;
    Listeners& operator=(Listeners&&) = default;
    ~Listeners() { close_all(); }

    // Binds and listens. The error says which address is taken or forbidden.
    Result<void> open(const ListenAddress& address, mode_t unix_mode);

    // One that listens already: a predecessor's, or systemd's (then `unix_path` is empty: its name
    // is not ours to remove). `number`: what it had; none: the next one.
    Result<void> adopt(Fd socket, const ListenAddress& asked, std::string unix_path,
                       std::optional<uint32_t> number = std::nullopt);
    bool has(const ListenAddress& asked) const;

    // Stops listening there, as close_all() does for all. False: nothing was open for `asked`.
    bool close(const ListenAddress& asked);

    // From here on new connections are refused, once the frontends have closed theirs too; unix:
    // names vanish.
    void close_all();

    const std::vector<Listener>& all() const { return listeners_; }

  private:
    std::vector<Listener> listeners_;
    uint32_t next_number_ = 0;
};

}  // namespace bitnetd::supervisor
