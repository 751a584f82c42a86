// Where a server listens: a numeric IPv4 address and port, or a Unix socket.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::bench {

class Address {
  public:
    // "http://127.0.0.1:8080", "http://localhost:8080", "unix:/path"; a slash at the end is
    // allowed.
    static Result<Address> parse(std::string_view url);
    static Address loopback(uint16_t port);
    static Result<Address> unix_socket(const std::string& path);

    const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t bytes() const noexcept { return bytes_; }
    bool is_tcp() const noexcept { return storage_.ss_family == AF_INET; }
    const std::string& text() const noexcept { return text_; }
    // The value of the Host header.
    std::string host() const { return is_tcp() ? text_ : "localhost"; }

  private:
    sockaddr_storage storage_{};
    socklen_t bytes_ = 0;
    std::string text_;
};

}  // namespace bitnetd::bench
