#include "worker/topology/cores.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>

#include "common/base/check.h"
#include "worker/topology/slice.h"

namespace bitnetd::worker {
namespace {

constexpr int kCoresMax = 4096;  // far above any machine; sizes the affinity mask

std::string first_line(const std::string& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
}

// The cgroup v2 path of this process, "" when there is none.
std::string own_cgroup() {
    std::ifstream in("/proc/self/cgroup");
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("0::")) return line.substr(3);
    }
    return {};
}

std::vector<int> cores_of(std::span<const NumaNode> nodes) {
    std::vector<int> cores;
    for (const NumaNode& node : nodes)
        cores.insert(cores.end(), node.cores.begin(), node.cores.end());
    return cores;
}

// `cores` by node, without the nodes that have none of them.
std::vector<NumaNode> near(std::span<const NumaNode> nodes, std::span<const int> cores) {
    std::vector<NumaNode> out;
    for (const NumaNode& node : nodes) {
        NumaNode part{node.number, {}};
        for (const int core : node.cores) {
            if (std::ranges::find(cores, core) != cores.end()) part.cores.push_back(core);
        }
        if (!part.cores.empty()) out.push_back(std::move(part));
    }
    return out;
}

// Share `index`, as if there were no quota.
CoreShare split_evenly(std::span<const int> cores, int workers, int index) {
    const auto count = static_cast<int64_t>(cores.size());
    if (workers > count) return {{cores[static_cast<size_t>(index % count)]}, false, {}};
    const Range part = slice(count, workers, index);
    const auto first = cores.begin() + part.begin;
    return {std::vector<int>(first, first + part.count()), true, {}};
}

bool parse_number(std::string_view text, int64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Result<std::vector<int>> affinity_cores() {
    cpu_set_t* set = CPU_ALLOC(kCoresMax);
    if (set == nullptr) return io_error("allocate an affinity mask", ENOMEM);
    const size_t bytes = CPU_ALLOC_SIZE(kCoresMax);
    CPU_ZERO_S(bytes, set);
    const int failed = sched_getaffinity(0, bytes, set) != 0 ? errno : 0;
    std::vector<int> cores;
    for (int core = 0; failed == 0 && core < kCoresMax; ++core) {
        if (CPU_ISSET_S(static_cast<size_t>(core), bytes, set)) cores.push_back(core);
    }
    CPU_FREE(set);
    if (failed != 0) return io_error("sched_getaffinity", failed);
    if (cores.empty()) return Error{ErrorCode::kInternal, "the affinity mask names no core"};
    return cores;
}

int parse_cpu_max(std::string_view text) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos) return kNoQuota;
    int64_t quota_us = 0;
    int64_t period_us = 0;
    if (!parse_number(text.substr(0, space), quota_us)) return kNoQuota;  // "max"
    if (!parse_number(text.substr(space + 1), period_us)) return kNoQuota;
    if (quota_us <= 0 || period_us <= 0) return kNoQuota;
    // Rounded down: a thread more than the quota pays for would stall all at the next barrier.
    return static_cast<int>(std::clamp<int64_t>(quota_us / period_us, 1, kCoresMax));
}

int quota_cores(const std::string& root, std::string_view path) {
    int smallest = kNoQuota;
    while (true) {
        const int quota = parse_cpu_max(first_line(root + std::string(path) + "/cpu.max"));
        if (quota != kNoQuota && (smallest == kNoQuota || quota < smallest)) smallest = quota;
        const size_t slash = path.rfind('/');
        if (path.empty() || slash == std::string_view::npos) return smallest;
        path = path.substr(0, slash);
    }
}

CoreShare split_cores(std::span<const NumaNode> nodes, int quota, int workers, int index) {
    BITNETD_CHECK(index >= 0);
    BITNETD_CHECK(index < workers);
    std::vector<int> cores = cores_of(nodes);
    BITNETD_CHECK(!cores.empty());
    const bool limited = quota != kNoQuota && static_cast<size_t>(quota) < cores.size();
    // Under a quota threads are not pinned: they are near no node in particular.
    if (limited) {
        cores.resize(static_cast<size_t>(quota));
    } else if (const int count = static_cast<int>(nodes.size()); workers % count == 0) {
        const int per_node = workers / count;
        cores = nodes[static_cast<size_t>(index / per_node)].cores;
        workers = per_node;
        index %= per_node;
    }
    CoreShare share = split_evenly(cores, workers, index);
    share.exclusive = share.exclusive && !limited;
    share.nodes = near(nodes, share.cores);
    return share;
}

Result<CoreShare> share_of_worker(const NumaMachine& machine, int workers, int index) {
    if (workers < 1 || index < 0 || index >= workers) {
        return invalid("worker " + std::to_string(index) + " of " + std::to_string(workers) +
                       ": no such worker");
    }
    BITNETD_ASSIGN(const std::vector<int> cores, affinity_cores());
    return split_cores(machine.nodes_of(cores), quota_cores("/sys/fs/cgroup", own_cgroup()),
                       workers, index);
}

}  // namespace bitnetd::worker
