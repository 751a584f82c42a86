#include "supervisor/frontend/http/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace bitnetd::frontend::http {
namespace {

constexpr uint8_t kLoopbackNet = 127;  // the first byte of 127.0.0.0/8

Peer describe_v4(const void* address, in_port_t port) {
    char text[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, address, text, sizeof text);
    return {std::string(text) + ":" + std::to_string(ntohs(port)),
            *static_cast<const uint8_t*>(address) == kLoopbackNet};
}

Peer describe_v6(const in6_addr& address, in_port_t port) {
    if (IN6_IS_ADDR_V4MAPPED(&address)) return describe_v4(address.s6_addr + 12, port);
    char text[INET6_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET6, &address, text, sizeof text);
    return {"[" + std::string(text) + "]:" + std::to_string(ntohs(port)),
            IN6_IS_ADDR_LOOPBACK(&address) != 0};
}

}  // namespace

Peer peer_of(int socket) {
    sockaddr_storage address{};
    socklen_t bytes = sizeof address;
    if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) return {};
    return describe_peer(address);
}

Peer describe_peer(const sockaddr_storage& address) {
    switch (address.ss_family) {
        case AF_UNIX:
            return {"unix", true};
        case AF_INET: {
            sockaddr_in v4;
            std::memcpy(&v4, &address, sizeof v4);
            return describe_v4(&v4.sin_addr, v4.sin_port);
        }
        case AF_INET6: {
            sockaddr_in6 v6;
            std::memcpy(&v6, &address, sizeof v6);
            return describe_v6(v6.sin6_addr, v6.sin6_port);
        }
        default:
            return {};
    }
}

}  // namespace bitnetd::frontend::http
