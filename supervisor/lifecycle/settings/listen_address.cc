#include "supervisor/lifecycle/settings/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

namespace bitnetd::supervisor {
namespace {

Error malformed(std::string_view text, std::string_view why) {
    return invalid("listen address \"" + std::string(text) + "\": " + std::string(why) +
                   "; expected HOST:PORT, [IPV6]:PORT or unix:/path");
}

std::optional<uint16_t> parse_port(std::string_view text) {
    uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, port);
    if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
    return port;
}

Result<ListenAddress> parse_unix(std::string_view text, std::string_view path) {
    sockaddr_un name{};
    if (path.empty() || path.front() != '/') return malformed(text, "the path must begin with /");
    if (path.size() >= sizeof name.sun_path) return malformed(text, "the path is over 107 bytes");
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.data(), path.size());
    ListenAddress address;
    std::memcpy(&address.address, &name, sizeof name);
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    address.unix_path = std::string(path);
    address.loopback = true;
    return address;
}

Result<ListenAddress> parse_ipv6(std::string_view text, const std::string& host, uint16_t port) {
    sockaddr_in6 name{};
    if (inet_pton(AF_INET6, host.c_str(), &name.sin6_addr) != 1) {
        return malformed(text, "not an IPv6 address");
    }
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    ListenAddress address;
    std::memcpy(&address.address, &name, sizeof name);
    address.length = sizeof name;
    address.loopback = IN6_IS_ADDR_LOOPBACK(&name.sin6_addr);
    return address;
}

Result<ListenAddress> parse_ipv4(std::string_view text, const std::string& host, uint16_t port) {
    sockaddr_in name{};
    const char* number = host == "localhost" ? "127.0.0.1" : host.c_str();
    if (inet_pton(AF_INET, number, &name.sin_addr) != 1) {
        return malformed(text, "the host is neither an IPv4 address nor localhost");
    }
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    ListenAddress address;
    std::memcpy(&address.address, &name, sizeof name);
    address.length = sizeof name;
    address.loopback = (ntohl(name.sin_addr.s_addr) >> 24) == 127;
    return address;
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
    constexpr std::string_view kUnix = "unix:";
    if (text.starts_with(kUnix)) return parse_unix(text, text.substr(kUnix.size()));
    const size_t colon = text.rfind(':');
    if (colon == text.npos) return malformed(text, "there is no port");
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) return malformed(text, "the port is not a number up to 65535");
    const std::string_view host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
        return parse_ipv6(text, std::string(host.substr(1, host.size() - 2)), *port);
    }
    if (host.find(':') != host.npos) {
        return malformed(text, "an IPv6 address needs square brackets");
    }
    return parse_ipv4(text, std::string(host), *port);
}

bool same(const ListenAddress& one, const ListenAddress& other) {
    return one.length == other.length && std::memcmp(&one.address, &other.address, one.length) == 0;
}

std::string listen_address_text(const sockaddr_storage& address, socklen_t length) {
    char host[INET6_ADDRSTRLEN] = {};
    if (address.ss_family == AF_INET && length >= sizeof(sockaddr_in)) {
        sockaddr_in name{};
        std::memcpy(&name, &address, sizeof name);
        inet_ntop(AF_INET, &name.sin_addr, host, sizeof host);
        return std::string(host) + ":" + std::to_string(ntohs(name.sin_port));
    }
    if (address.ss_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        sockaddr_in6 name{};
        std::memcpy(&name, &address, sizeof name);
        inet_ntop(AF_INET6, &name.sin6_addr, host, sizeof host);
        return "[" + std::string(host) + "]:" + std::to_string(ntohs(name.sin6_port));
    }
    sockaddr_un name{};
    std::memcpy(&name, &address, std::min<size_t>(length, sizeof name));
    return "unix:" + std::string(name.sun_path, strnlen(name.sun_path, sizeof name.sun_path));
}

}  // namespace bitnetd::supervisor
