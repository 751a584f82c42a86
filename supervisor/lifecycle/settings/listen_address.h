// An address to listen on, as an operator writes it: "127.0.0.1:8080", "localhost:8080",
// "[::1]:8080", "unix:/run/bitnetd/http.sock". Numbers only, no name service: what a name means can
// change under a running server. Port 0 lets the kernel choose.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::supervisor {

struct ListenAddress {
    sockaddr_storage address{};
    socklen_t length = 0;
    std::string unix_path;  // empty: TCP
    bool loopback = false;  // reachable from this machine only; unix: sockets are

    int family() const { return address.ss_family; }
};

Result<ListenAddress> parse_listen_address(std::string_view text);

// Whether both would be bound to the same name, however they are written.
bool same(const ListenAddress& one, const ListenAddress& other);

// The inverse, of what the kernel bound.
std::string listen_address_text(const sockaddr_storage& address, socklen_t length);

}  // namespace bitnetd::supervisor
