// Which memory is near which cores. On a machine with one NUMA node, or where that cannot be told,
// there is one node with all cores and nothing is bound. Reads /sys: made once, before the process
// confines itself; binding works afterwards as well.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

struct hwloc_topology;

namespace bitnetd::worker {

struct NumaNode {
    unsigned number = 0;     // as the kernel counts them
    std::vector<int> cores;  // never empty
};

class NumaMachine {
  public:
    // This machine. Asks hwloc only where the kernel says that there are several nodes: a process
    // that restarts has no time for more.
    static NumaMachine look();
    // A machine as hwloc describes synthetic ones ("numa:2 core:4 pu:1"), on which nothing can be
    // bound; for tests.
    static Result<NumaMachine> synthetic(const std::string& description);

    // `cores` by node: each core in one, in ascending order of nodes and within them in the order
    // given. Cores that no node claims are the first node's.
    std::vector<NumaNode> nodes_of(std::span<const int> cores) const;

    // From now on pages of the mapping `memory` (all of a memfd, also when others map it) come from
    // these nodes: one, or several in turn; from any other when those are full. False when the
    // system refuses; true and nothing done on a machine with one node.
    bool bind(std::span<std::byte> memory, std::span<const NumaNode> nodes) const noexcept;

    // The same for all memory that this thread, and threads it makes, are the first to write.
    bool bind_thread(std::span<const NumaNode> nodes) const noexcept;

  private:
    struct Destroy {
        void operator()(hwloc_topology* topology) const noexcept;
    };
    using Topology = std::unique_ptr<hwloc_topology, Destroy>;
    static Topology load(const char* synthetic) noexcept;

    NumaMachine() = default;

    Topology topology_;  // null: one node
};

}  // namespace bitnetd::worker
