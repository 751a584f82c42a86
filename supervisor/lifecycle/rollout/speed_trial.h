// How fast a canary computes beside the workers it is to replace, in the same seconds: the time of
// its steps against that of theirs, from their boards. A canary shares its cores with an old
// worker, so on a CPU that is processor time, which does not run while somebody else computes; on a
// GPU it is the steps' own time. Loop thread of the supervisor.
#pragma once

#include <cstdint>
#include <map>

#include "supervisor/lifecycle/process/child_table.h"

namespace bitnetd::supervisor {

class SpeedTrial {
  public:
    // A stage begins. `canary`: its incarnation; `baseline_key`: the model of the others.
    void begin(const ChildTable& table, uint64_t canary, uint64_t baseline_key);
    // Old step time / the canary's, since begin(); 0: too few steps of either side to say.
    float ratio(const ChildTable& table) const;

  private:
    struct Steps {
        uint64_t count = 0;
        uint64_t took_ns = 0;
        bool is_enough() const;
    };
    static Steps steps_of(const Slot& slot);

    uint64_t canary_ = 0;
    std::map<uint64_t, Steps> before_;  // by incarnation: the canary, and who it is compared with
};

}  // namespace bitnetd::supervisor
