// Goal: a worker gets the cores that affinity and quota allow, shared evenly and without overlap,
//       and is told when it may not pin or spin.
// Method: cpu.max texts and cgroup trees written to a temporary folder; splits checked by hand.
#include "worker/topology/cores.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace bitnetd::worker {
namespace {

class CgroupTree : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = std::filesystem::temp_directory_path() / "bitnetd-cgroup-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        root_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(root_); }
    void write(const std::string& group, const std::string& text) {
        std::filesystem::create_directories(root_ + group);
        std::ofstream(root_ + group + "/cpu.max") << text;
    }

    std::string root_;
};

TEST(CpuMax, ReadsQuotaAndPeriod) {
    EXPECT_EQ(parse_cpu_max("400000 100000"), 4);
    EXPECT_EQ(parse_cpu_max("250000 100000"), 2);
    EXPECT_EQ(parse_cpu_max("50000 100000"), 1) << "half a core is still one thread";
}

TEST(CpuMax, AnythingElseIsNoLimit) {
    for (const char* text :
         {"max 100000", "", "100000", "x 100000", "100000 x", "100000 0", "-1 100000", "0 100000",
          "99999999999999999999 1", "100000 100000 1"}) {
        EXPECT_EQ(parse_cpu_max(text), kNoQuota) << text;
    }
}

TEST(CpuMax, AnAbsurdQuotaIsBounded) {
    EXPECT_EQ(parse_cpu_max("9000000000000000000 1"), 4096);
}

TEST_F(CgroupTree, TheTightestParentDecides) {
    write("/a", "200000 100000\n");
    write("/a/b", "max 100000\n");
    write("/a/b/c", "300000 100000\n");
    EXPECT_EQ(quota_cores(root_, "/a/b/c"), 2);
    EXPECT_EQ(quota_cores(root_, "/a/b"), 2);
    EXPECT_EQ(quota_cores(root_, "/"), kNoQuota);
}

TEST_F(CgroupTree, TheRootsOwnFileCounts) {  // what a container sees
    write("", "100000 100000\n");
    EXPECT_EQ(quota_cores(root_, "/"), 1);
    EXPECT_EQ(quota_cores(root_, ""), 1);
    EXPECT_EQ(quota_cores(root_, "/not/there"), 1);
}

TEST_F(CgroupTree, MissingFilesDoNotLimit) {
    EXPECT_EQ(quota_cores(root_, "/x/y"), kNoQuota);
}

TEST(SplitCores, WorkersGetDisjointEvenShares) {
    const std::vector<int> cores = {0, 1, 2, 3, 8, 9, 10};
    const std::vector<NumaNode> nodes = {{0, cores}};
    std::set<int> seen;
    for (int worker = 0; worker < 3; ++worker) {
        const CoreShare share = split_cores(nodes, kNoQuota, 3, worker);
        EXPECT_TRUE(share.exclusive);
        EXPECT_GE(share.cores.size(), 2u);
        EXPECT_LE(share.cores.size(), 3u);
        for (int core : share.cores)
            EXPECT_TRUE(seen.insert(core).second) << core;
    }
    EXPECT_EQ(seen.size(), cores.size());
}

TEST(SplitCores, AQuotaBelowTheMaskLimitsAndForbidsPinning) {
    const std::vector<NumaNode> nodes = {{0, {0, 1, 2, 3}}};
    const CoreShare share = split_cores(nodes, 2, 1, 0);
    EXPECT_EQ(share.cores.size(), 2u);
    EXPECT_FALSE(share.exclusive);
    EXPECT_TRUE(split_cores(nodes, 4, 1, 0).exclusive)
        << "a quota of the whole mask limits nothing";
}

TEST(SplitCores, MoreWorkersThanCoresShareThem) {
    const std::vector<int> cores = {4, 5};
    for (int worker = 0; worker < 5; ++worker) {
        const CoreShare share = split_cores(std::vector<NumaNode>{{0, cores}}, kNoQuota, 5, worker);
        EXPECT_EQ(share.cores, std::vector<int>{cores[static_cast<size_t>(worker % 2)]});
        EXPECT_FALSE(share.exclusive);
    }
}

const std::vector<NumaNode> kTwoNodes = {{0, {0, 1, 2, 3}}, {2, {4, 5, 6, 7}}};

TEST(SplitCores, AWorkerPerNodeStaysOnIt) {
    for (const int workers : {2, 4}) {
        for (int worker = 0; worker < workers; ++worker) {
            const CoreShare share = split_cores(kTwoNodes, kNoQuota, workers, worker);
            const NumaNode& node = kTwoNodes[static_cast<size_t>(worker * 2 / workers)];
            EXPECT_EQ(share.cores.size(), static_cast<size_t>(8 / workers));
            ASSERT_EQ(share.nodes.size(), 1u);
            EXPECT_EQ(share.nodes[0].number, node.number);
            EXPECT_EQ(share.nodes[0].cores, share.cores);
            EXPECT_TRUE(share.exclusive);
        }
    }
}

TEST(SplitCores, OtherNumbersOfWorkersSpanNodesAndSaySo) {
    const CoreShare all = split_cores(kTwoNodes, kNoQuota, 1, 0);
    EXPECT_EQ(all.cores.size(), 8u);
    ASSERT_EQ(all.nodes.size(), 2u);
    EXPECT_EQ(all.nodes[1].cores, (std::vector{4, 5, 6, 7}));
    std::set<int> seen;
    for (int worker = 0; worker < 3; ++worker) {
        const CoreShare share = split_cores(kTwoNodes, kNoQuota, 3, worker);
        seen.insert(share.cores.begin(), share.cores.end());
        EXPECT_EQ(share.nodes.size(), worker == 1 ? 2u : 1u);
    }
    EXPECT_EQ(seen.size(), 8u);
}

TEST(SplitCores, MoreWorkersThanANodeHasCoresShareThemThere) {
    const CoreShare share = split_cores(kTwoNodes, kNoQuota, 16, 15);
    EXPECT_EQ(share.cores, std::vector{7});
    EXPECT_FALSE(share.exclusive);
    ASSERT_EQ(share.nodes.size(), 1u);
    EXPECT_EQ(share.nodes[0].number, 2u);
}

TEST(SplitCores, UnderAQuotaNodesDoNotDivide) {
    const CoreShare share = split_cores(kTwoNodes, 4, 2, 1);
    EXPECT_EQ(share.cores, (std::vector{2, 3}));
    EXPECT_FALSE(share.exclusive);
}

TEST(ShareOfWorker, ThisMachineHasCores) {
    const NumaMachine machine = NumaMachine::look();
    const auto share = share_of_worker(machine, 1, 0);
    ASSERT_TRUE(share.ok());
    EXPECT_FALSE(share->cores.empty());
    EXPECT_FALSE(share_of_worker(machine, 2, 2).ok());
    EXPECT_FALSE(share_of_worker(machine, 0, 0).ok());
    EXPECT_FALSE(share_of_worker(machine, 1, -1).ok());
}

}  // namespace
}  // namespace bitnetd::worker
