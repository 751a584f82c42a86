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
    std::set<int> seen;
    for (int worker = 0; worker < 3; ++worker) {
        const CoreShare share = split_cores(cores, kNoQuota, 3, worker);
        EXPECT_TRUE(share.exclusive);
        EXPECT_GE(share.cores.size(), 2u);
        EXPECT_LE(share.cores.size(), 3u);
        for (int core : share.cores)
            EXPECT_TRUE(seen.insert(core).second) << core;
    }
    EXPECT_EQ(seen.size(), cores.size());
}

TEST(SplitCores, AQuotaBelowTheMaskLimitsAndForbidsPinning) {
    const std::vector<int> cores = {0, 1, 2, 3};
    const CoreShare share = split_cores(cores, 2, 1, 0);
    EXPECT_EQ(share.cores.size(), 2u);
    EXPECT_FALSE(share.exclusive);
    EXPECT_TRUE(split_cores(cores, 4, 1, 0).exclusive)
        << "a quota of the whole mask limits nothing";
}

TEST(SplitCores, MoreWorkersThanCoresShareThem) {
    const std::vector<int> cores = {4, 5};
    for (int worker = 0; worker < 5; ++worker) {
        const CoreShare share = split_cores(cores, kNoQuota, 5, worker);
        EXPECT_EQ(share.cores, std::vector<int>{cores[static_cast<size_t>(worker % 2)]});
        EXPECT_FALSE(share.exclusive);
    }
}

TEST(ShareOfWorker, ThisMachineHasCores) {
    const auto share = share_of_worker(1, 0);
    ASSERT_TRUE(share.ok());
    EXPECT_FALSE(share->cores.empty());
    EXPECT_FALSE(share_of_worker(2, 2).ok());
    EXPECT_FALSE(share_of_worker(0, 0).ok());
    EXPECT_FALSE(share_of_worker(1, -1).ok());
}

}  // namespace
}  // namespace bitnetd::worker
