#include "worker/topology/numa.h"

#include <hwloc.h>

#include <cstdlib>
#include <fstream>

namespace bitnetd::worker {
namespace {

struct FreeBitmap {
    void operator()(hwloc_bitmap_s* bitmap) const noexcept { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

Bitmap set_of(std::span<const NumaNode> nodes) {
    Bitmap set(hwloc_bitmap_alloc());
    for (const NumaNode& node : nodes) {
        if (set != nullptr) hwloc_bitmap_set(set.get(), node.number);
    }
    return set;
}

hwloc_membind_policy_t policy_for(size_t nodes) {
    return nodes == 1 ? HWLOC_MEMBIND_BIND : HWLOC_MEMBIND_INTERLEAVE;
}

// "0" on a machine with one node; "0-1" or "0,2" otherwise.
bool kernel_has_several_nodes() {
    std::ifstream file("/sys/devices/system/node/has_cpu");
    std::string nodes;
    std::getline(file, nodes);
    return nodes.find_first_of("-,") != std::string::npos;
}

}  // namespace

void NumaMachine::Destroy::operator()(hwloc_topology* topology) const noexcept {
    hwloc_topology_destroy(topology);
}

NumaMachine::Topology NumaMachine::load(const char* synthetic) noexcept {
    // hwloc's plugins would bring graphics drivers into the process, to find devices nobody asks
    // for.
    setenv("HWLOC_PLUGINS_PATH", "/nonexistent", 1);
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0) return nullptr;
    Topology topology(raw);
    const bool ok = hwloc_topology_set_cache_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
                    (synthetic == nullptr || hwloc_topology_set_synthetic(raw, synthetic) == 0) &&
                    hwloc_topology_load(raw) == 0;
    if (!ok) return nullptr;
    return topology;
}

NumaMachine NumaMachine::look() {
    NumaMachine machine;
    if (kernel_has_several_nodes()) machine.topology_ = load(nullptr);
    return machine;
}

Result<NumaMachine> NumaMachine::synthetic(const std::string& description) {
    NumaMachine machine;
    machine.topology_ = load(description.c_str());
    if (machine.topology_ == nullptr) return invalid("hwloc does not know '" + description + "'");
    return machine;
}

std::vector<NumaNode> NumaMachine::nodes_of(std::span<const int> cores) const {
    std::vector<int> rest(cores.begin(), cores.end());
    std::vector<NumaNode> nodes;
    hwloc_topology* const topology = topology_.get();
    const int count =
        topology == nullptr ? 0 : hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
    for (int i = 0; i < count && !rest.empty(); ++i) {
        const hwloc_obj_t object =
            hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, static_cast<unsigned>(i));
        NumaNode node{object->os_index, {}};
        std::vector<int> others;
        for (const int core : rest) {
            const bool is_here =
                hwloc_bitmap_isset(object->cpuset, static_cast<unsigned>(core)) == 1;
            (is_here ? node.cores : others).push_back(core);
        }
        rest = std::move(others);
        if (!node.cores.empty()) nodes.push_back(std::move(node));
    }
    if (nodes.empty()) nodes.push_back({});
    nodes.front().cores.insert(nodes.front().cores.end(), rest.begin(), rest.end());
    return nodes;
}

bool NumaMachine::bind(std::span<std::byte> memory,
                       std::span<const NumaNode> nodes) const noexcept {
    if (topology_ == nullptr) return true;
    const Bitmap set = set_of(nodes);
    if (set == nullptr) return false;
    return hwloc_set_area_membind(topology_.get(), memory.data(), memory.size(), set.get(),
                                  policy_for(nodes.size()), HWLOC_MEMBIND_BYNODESET) == 0;
}

bool NumaMachine::bind_thread(std::span<const NumaNode> nodes) const noexcept {
    if (topology_ == nullptr) return true;
    const Bitmap set = set_of(nodes);
    if (set == nullptr) return false;
    return hwloc_set_membind(topology_.get(), set.get(), policy_for(nodes.size()),
                             HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET) == 0;
}

}  // namespace bitnetd::worker
