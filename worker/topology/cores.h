// Which cores a CPU worker may use: those of the process's affinity mask, no more of them than the
// cgroup's CPU quota pays for, split evenly over the workers and, where there are as many workers
// as NUMA nodes or a multiple, so that none spans two nodes. Reads /proc and /sys: called once,
// before the process confines itself.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "worker/topology/numa.h"

namespace bitnetd::worker {

struct CoreShare {
    std::vector<int> cores;  // one compute thread each; never empty
    // Nobody else is expected on these cores: threads may be pinned and may spin at barriers. False
    // when workers share cores, or when a quota and not a cpuset is the limit: then the scheduler
    // must be free to place the threads (another container may have the same core numbers), and
    // spinning would burn the quota.
    bool exclusive = false;
    std::vector<NumaNode> nodes;  // those cores by the memory they are near
};

// Share `index` of `workers` of this machine's usable cores.
Result<CoreShare> share_of_worker(const NumaMachine& machine, int workers, int index);

// The parts of share_of_worker(), for tests.

// Cores in the affinity mask of the calling thread, ascending.
Result<std::vector<int>> affinity_cores();

// No limit, as quota_cores() says it.
constexpr int kNoQuota = -1;

// Whole cores that a cpu.max line ("max 100000", "250000 100000") allows, at least 1; kNoQuota when
// there is no limit or the text is not of that form.
int parse_cpu_max(std::string_view text);

// The smallest quota of the cgroup `path` (as in /proc/self/cgroup, "/a/b") and its parents below
// `root`, normally /sys/fs/cgroup. Files that are not there do not limit.
int quota_cores(const std::string& root, std::string_view path);

// Splits the cores of `nodes`, of which a quota may allow fewer. Needs a core, 0 <= index <
// workers.
CoreShare split_cores(std::span<const NumaNode> nodes, int quota, int workers, int index);

}  // namespace bitnetd::worker
