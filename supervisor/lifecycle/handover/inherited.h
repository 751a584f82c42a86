// The descriptors that this process was born with, by name: from systemd (sockets of a .socket
// unit, under its FileDescriptorName=, and what a predecessor put into the FD store) or from the
// process that executed this program in place (reexec.h).
//
// collect() is to be the first act of main(): before any thread, child or other open descriptor.
// Main thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace bitnetd::supervisor {

class Inherited {
  public:
    // Makes all of them close-on-exec and takes the variables that name them out of the
    // environment, so that no child believes they are its own. Variables meant for another process
    // (LISTEN_PID) are ignored. Fails when the environment names what is not there: then nothing
    // can be said about any descriptor.
    static Result<Inherited> collect();

    Inherited() = default;  // born with nothing

    // True: this program was executed in place; the process and its children are the same.
    bool from_exec() const { return from_exec_; }

    // The one descriptor of that name; empty when there is none. Of several the first.
    Fd take(std::string_view name);
    std::vector<Fd> take_all(std::string_view name);

    // What was not taken yet, in the order of names; each name once.
    std::vector<std::string> names() const;
    size_t count(std::string_view name) const;

    // Closes what nobody took; logs each name (event=descriptor_unclaimed).
    void close_leftovers();

  private:
    Result<void> collect_from_systemd();
    Result<void> collect_from_exec();

    std::multimap<std::string, Fd, std::less<>> fds_;
    bool from_exec_ = false;
};

}  // namespace bitnetd::supervisor
