// The other end of a connection: its name for logs and limits per address, and whether it is on
// this machine, which is what makes an operator until there are keys. Pure functions.
#pragma once

#include <sys/socket.h>

#include <string>

namespace bitnetd::frontend {

struct Peer {
    // "127.0.0.1:40132", "[::1]:40132" or "unix". A v4 address that came through a v6 socket is
    // shown as v4, so that limits per address see one client as one.
    std::string name = "unknown";
    // Through a Unix socket or from a loopback address: 127.0.0.0/8, ::1 and the former mapped into
    // v6. False where it is not known. A proxy on this machine is local whoever asked it.
    bool is_local = false;
};

namespace http {

Peer peer_of(int socket);
Peer describe_peer(const sockaddr_storage& address);

}  // namespace http
}  // namespace bitnetd::frontend
