// ServerProcess: a bitnetd of our own, on a free loopback port or a Unix socket, for as long as
// this object lives. What it logs goes to a file in a directory of its own.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "tests/bench/serve/address.h"

namespace bitnetd::bench {

class ServerProcess {
  public:
    struct Options {
        std::string program;  // bitnetd
        std::string model;    // a value of --model
        std::vector<std::string> flags;
        bool unix_socket = false;
        uint64_t patience_ms = 120'000;  // until it is ready; a large model takes its time
    };

    // Returns when /health/ready says so.
    static Result<std::unique_ptr<ServerProcess>> start(const Options& options);
    ~ServerProcess();  // kills it if it still runs
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    const Address& address() const noexcept { return address_; }
    pid_t pid() const noexcept { return pid_; }
    bool is_running();
    // Asks it to end and waits. Fails when it did not end well.
    Result<void> stop();

  private:
    ServerProcess() = default;
    Result<void> launch(const Options& options);
    Result<void> wait_ready(const Options& options);
    Result<void> learn_address(bool unix_socket);
    std::string log_end() const;
    Error died();

    std::string directory_;
    Address address_;
    bool knows_address_ = false;
    pid_t pid_ = -1;  // -1: ended and waited for
    int wait_status_ = 0;
};

}  // namespace bitnetd::bench
