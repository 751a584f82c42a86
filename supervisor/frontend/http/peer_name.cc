#include "supervisor/frontend/http/peer_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

namespace bitnetd::frontend::http {
namespace {

std::string v4_name(const void* address, in_port_t port) {
    char text[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, address, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(port));
}

std::string v6_name(const in6_addr& address, in_port_t port) {
    if (IN6_IS_ADDR_V4MAPPED(&address)) return v4_name(address.s6_addr + 12, port);
    char text[INET6_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET6, &address, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(port));
}

}  // namespace

std::string peer_name(int socket) {
    sockaddr_storage storage{};
    socklen_t bytes = sizeof storage;
    if (getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return "unknown";
    switch (storage.ss_family) {
        case AF_UNIX:
            return "unix";
        case AF_INET: {
            sockaddr_in v4;
            std::memcpy(&v4, &storage, sizeof v4);
            return v4_name(&v4.sin_addr, v4.sin_port);
        }
        case AF_INET6: {
            sockaddr_in6 v6;
            std::memcpy(&v6, &storage, sizeof v6);
            return v6_name(v6.sin6_addr, v6.sin6_port);
        }
        default:
            return "unknown";
    }
}

}  // namespace bitnetd::frontend::http
