// Goal: after an update the device's page tables are those of the sequences, and only what changed
// is uploaded.
// Method: hand-made cases, then random changes of random tables, with a copy that gets the runs.
#include "worker/gpu/table_mirror.h"

#include <gtest/gtest.h>

#include <random>

namespace bitnetd::worker {
namespace {

constexpr uint32_t kTables = 5;
constexpr uint32_t kPages = 7;

std::byte* page(uint64_t number) {
    return reinterpret_cast<std::byte*>(number << 12);
}

class TableMirrorTest : public ::testing::Test {
  protected:
    std::optional<TableMirror::Run> update(uint32_t table, const std::vector<std::byte*>& pages) {
        const auto run = mirror_.update(table, pages.data(), static_cast<uint32_t>(pages.size()));
        if (run) {
            std::copy_n(memory_.begin() + static_cast<ptrdiff_t>(run->first), run->count,
                        device_.begin() + static_cast<ptrdiff_t>(run->first));
        }
        return run;
    }

    std::vector<std::byte*> memory_ = std::vector<std::byte*>(kTables * kPages, page(99));
    std::vector<std::byte*> device_ = std::vector<std::byte*>(kTables * kPages, nullptr);
    TableMirror mirror_{memory_, kPages};
};

TEST_F(TableMirrorTest, TellsOfNewPagesOnly) {
    const auto first = update(1, {page(5), page(6)});
    ASSERT_TRUE(first);
    EXPECT_EQ(first->first, kPages);
    EXPECT_EQ(first->count, 2u);
    EXPECT_FALSE(update(1, {page(5), page(6)}));
    EXPECT_FALSE(update(1, {page(5)}));
    const auto grown = update(1, {page(5), page(6), page(2)});
    ASSERT_TRUE(grown);
    EXPECT_EQ(grown->first, kPages + 2);
    EXPECT_EQ(grown->count, 1u);
}

TEST_F(TableMirrorTest, LeavesEndsOutThatAreTheSame) {
    update(0, {page(1), page(2), page(3), page(4), page(5)});
    const auto run = update(0, {page(1), page(8), page(3), page(9), page(5)});
    ASSERT_TRUE(run);
    EXPECT_EQ(run->first, 1u);
    EXPECT_EQ(run->count, 3u);
}

TEST_F(TableMirrorTest, KeepsUpWithAnyChange) {
    std::mt19937 random(1);
    std::vector<std::vector<std::byte*>> tables(kTables);
    for (int i = 0; i < 3000; ++i) {
        const auto table = random() % kTables;
        auto& pages = tables[table];
        pages.resize(random() % (kPages + 1));
        for (std::byte*& each : pages)
            if (each == nullptr || random() % 4 == 0) each = page(1 + random() % 9);
        update(static_cast<uint32_t>(table), pages);
        ASSERT_TRUE(std::equal(pages.begin(), pages.end(),
                               device_.begin() + static_cast<ptrdiff_t>(table * kPages)));
    }
}

TEST_F(TableMirrorTest, RefusesWhatLiesOutside) {
    const std::vector<std::byte*> pages(kPages + 1, page(1));
    EXPECT_DEATH(mirror_.update(kTables, pages.data(), 1), "check failed");
    EXPECT_DEATH(mirror_.update(0, pages.data(), kPages + 1), "check failed");
}

}  // namespace
}  // namespace bitnetd::worker
