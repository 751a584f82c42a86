#include "tests/bench/serve/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

namespace bitnetd::bench {
namespace {

Error bad_url(std::string_view url) {
    return invalid("\"" + std::string(url) +
                   "\" is no address; expected http://A.B.C.D:PORT, http://localhost:PORT or "
                   "unix:/path");
}

}  // namespace

Result<Address> Address::parse(std::string_view url) {
    constexpr std::string_view kUnix = "unix:", kHttp = "http://";
    if (url.starts_with(kUnix)) return unix_socket(std::string(url.substr(kUnix.size())));
    if (!url.starts_with(kHttp)) return bad_url(url);
    std::string_view rest = url.substr(kHttp.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    const size_t colon = rest.find(':');
    if (colon == rest.npos) return bad_url(url);
    const std::string host =
        rest.substr(0, colon) == "localhost" ? "127.0.0.1" : std::string(rest.substr(0, colon));
    const std::string_view digits = rest.substr(colon + 1);
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    in_addr ip{};
    if (error != std::errc() || end != digits.data() + digits.size() || port == 0 ||
        inet_pton(AF_INET, host.c_str(), &ip) != 1) {
        return bad_url(url);
    }
    Address made = loopback(port);
    reinterpret_cast<sockaddr_in*>(&made.storage_)->sin_addr = ip;
    made.text_ = host + ":" + std::to_string(port);
    return made;
}

Address Address::loopback(uint16_t port) {
    Address made;
    auto* in = reinterpret_cast<sockaddr_in*>(&made.storage_);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    made.bytes_ = sizeof *in;
    made.text_ = "127.0.0.1:" + std::to_string(port);
    return made;
}

Result<Address> Address::unix_socket(const std::string& path) {
    Address made;
    auto* un = reinterpret_cast<sockaddr_un*>(&made.storage_);
    if (path.empty() || path.size() >= sizeof un->sun_path) {
        return invalid("the path of a Unix socket has 1 to " +
                       std::to_string(sizeof un->sun_path - 1) + " bytes; \"" + path + "\" has " +
                       std::to_string(path.size()));
    }
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, path.c_str(), path.size() + 1);
    made.bytes_ = sizeof *un;
    made.text_ = "unix:" + path;
    return made;
}

}  // namespace bitnetd::bench
