// The other end of a socket as text for logs and limits per address.
#pragma once

#include <string>

namespace bitnetd::frontend::http {

// "127.0.0.1:40132", "[::1]:40132" or "unix". A v4 address that came through a v6 socket is shown
// as v4, so that limits per address see one client as one.
std::string peer_name(int socket);

}  // namespace bitnetd::frontend::http
