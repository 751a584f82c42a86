// Goal: cores are told apart by the memory they are near, on machines of any form, and a machine
//       with one node is left alone.
// Method: synthetic machines of hwloc's, with cores left out as an affinity mask would; the machine
//       the test runs on.
#include "worker/topology/numa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "worker/topology/cores.h"

namespace bitnetd::worker {
namespace {

NumaMachine made(const char* description) {
    auto machine = NumaMachine::synthetic(description);
    if (!machine.ok()) throw std::runtime_error(machine.error().message);
    return std::move(machine).value();
}

std::vector<int> first_cores(int count) {
    std::vector<int> cores(static_cast<size_t>(count));
    std::iota(cores.begin(), cores.end(), 0);
    return cores;
}

TEST(Numa, GroupsCoresByNode) {
    const auto nodes = made("numa:2 core:3 pu:2").nodes_of(first_cores(12));
    ASSERT_EQ(nodes.size(), 2u);
    EXPECT_EQ(nodes[0].number, 0u);
    EXPECT_EQ(nodes[0].cores, (std::vector<int>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(nodes[1].number, 1u);
    EXPECT_EQ(nodes[1].cores, (std::vector<int>{6, 7, 8, 9, 10, 11}));
}

TEST(Numa, KeepsToTheCoresThatMayBeUsed) {
    const NumaMachine machine = made("pack:2 numa:2 core:2 pu:1");
    const auto some = machine.nodes_of(std::vector{1, 6, 7});
    ASSERT_EQ(some.size(), 2u);
    EXPECT_EQ(some[0].cores, std::vector{1});
    EXPECT_EQ(some[1].number, 3u);
    EXPECT_EQ(some[1].cores, (std::vector{6, 7}));
    const auto one = machine.nodes_of(std::vector{4});
    ASSERT_EQ(one.size(), 1u);
    EXPECT_EQ(one[0].number, 2u);
}

TEST(Numa, CoresOfNoNodeAreTheFirstOnes) {
    const auto nodes = made("numa:2 core:1 pu:1").nodes_of(std::vector{0, 1, 99});
    ASSERT_EQ(nodes.size(), 2u);
    EXPECT_EQ(nodes[0].cores, (std::vector{0, 99}));
    const auto unknown = made("numa:2 core:1 pu:1").nodes_of(std::vector{99});
    ASSERT_EQ(unknown.size(), 1u);
    EXPECT_EQ(unknown[0].cores, std::vector{99});
}

TEST(Numa, OneNodeIsLeftAlone) {
    const auto nodes = made("numa:1 core:4 pu:1").nodes_of(first_cores(4));
    ASSERT_EQ(nodes.size(), 1u);
    EXPECT_EQ(nodes[0].cores, first_cores(4));
}

TEST(Numa, RefusesWhatIsNoMachine) {
    EXPECT_FALSE(NumaMachine::synthetic("two of everything").ok());
}

TEST(Numa, ThisMachineHasAllItsCores) {
    const NumaMachine machine = NumaMachine::look();
    const auto cores = affinity_cores();
    ASSERT_TRUE(cores.ok());
    const auto nodes = machine.nodes_of(*cores);
    std::vector<int> found;
    for (const NumaNode& node : nodes)
        found.insert(found.end(), node.cores.begin(), node.cores.end());
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, *cores);
    std::vector<std::byte> memory(1 << 16);
    if (nodes.size() == 1) {
        EXPECT_TRUE(machine.bind(memory, nodes));
    }
}

}  // namespace
}  // namespace bitnetd::worker
