// What the server's processes and this one take from the machine, read from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bitnetd::bench {

// `root` and all below it that run now.
std::vector<pid_t> process_tree(pid_t root);

// Proportional set size of all of them: pages that several share count once. Nothing where the
// system does not tell.
std::optional<uint64_t> resident_bytes(pid_t root);

// Seconds of processor time since a moment, by the name of the process. Of a process that ended
// meanwhile nothing is known.
class ProcessorTime {
  public:
    explicit ProcessorTime(pid_t root);
    std::map<std::string, double> since_start() const;

  private:
    pid_t root_;
    std::map<pid_t, double> start_s_;
};

}  // namespace bitnetd::bench
