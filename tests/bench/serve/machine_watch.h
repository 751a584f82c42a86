// MachineWatch: who took processor time and memory while a stage ran. Looking costs the generator's
// thread some time (a large model's page tables are walked), so it looks ten times a stage.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/serve/process_usage.h"
#include "tests/support/machine/other_load.h"

namespace bitnetd::bench {

struct MachineUse {
    double seconds = 0;
    int cores = 0;
    double generator_cores = 0;
    double other_cores = 0;                      // neither generator nor server
    std::map<std::string, double> server_cores;  // by process name; empty: not known
    std::vector<uint64_t> memory_bytes;          // of the server, in order of time; may be empty
};

class MachineWatch {
  public:
    // server: the pid of its supervisor; 0: not known. duration_ns: of the stage; 0: not known.
    MachineWatch(pid_t server, uint64_t duration_ns);

    void tick(uint64_t now_ns);
    MachineUse end();

  private:
    static constexpr size_t kSamplesMax = 32;
    void look();

    const pid_t server_;
    const uint64_t begin_ns_;
    uint64_t every_ns_;
    uint64_t next_ns_;
    double generator_start_s_;
    OtherLoad others_;
    std::optional<ProcessorTime> server_time_;
    std::vector<uint64_t> memory_bytes_;
};

}  // namespace bitnetd::bench
