// Descriptors that systemd keeps for us while we are dead (FileDescriptorStoreMax= of the unit). A
// service started anew finds them in LISTEN_FDS (inherited.h).
//
// When a store() has returned, the descriptors outlive us: they are in the kernel's queue of the
// notify socket, and systemd reads that queue before it learns that a service died (tried with 252:
// what was stored right before a SIGKILL came back). So nothing has to be waited for before a child
// is told.
//
// systemd 252 says nowhere that there is a store, nor that it refused something: what exceeds
// FileDescriptorStoreMax= is dropped with a line in its own log. So the limit must be known here:
// from FDSTORE, which systemd 254 sets, else from BITNETD_FD_STORE, which our unit sets to the same
// number as FileDescriptorStoreMax=. Without either, or without NOTIFY_SOCKET, there is no store.
//
// Main thread. sd_notify() blocks while the socket's queue is full, that is while systemd hangs.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace bitnetd::supervisor {

class FdStore {
  public:
    // Of this process's environment, as it is now.
    static FdStore from_environment();

    bool available() const { return fds_max_ > 0; }

    // Our successor finds `fds` under this name, in any order. They stay the caller's and may be
    // closed. 1 to 253 open descriptors, none of which is a duplicate of one that is stored
    // already: systemd keeps an open file once, under its first name. Errors: kInvalid (name, a
    // name that is taken, count), kExhausted (the store is full; the message names the setting),
    // kIo. Without a store: nothing happens.
    Result<void> store_all(std::string_view name, std::span<const int> fds);
    Result<void> store(std::string_view name, int fd) { return store_all(name, {&fd, 1}); }

    // Forgets all of that name; systemd closes its copies. One that is not there is no error.
    Result<void> remove(std::string_view name);

    // What is in the store already, as this process was born with it. To note what came from a
    // .socket unit as well only makes the count too large by it.
    void note(std::string_view name, size_t fd_count);

  private:
    explicit FdStore(size_t fds_max) : fds_max_(fds_max) {}

    size_t fds_max_;
    size_t fd_count_ = 0;
    std::map<std::string, size_t, std::less<>> held_;  // name -> descriptors
};

}  // namespace bitnetd::supervisor
