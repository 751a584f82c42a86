// Goal: the arena of a worker is huge pages where the kernel gives them, from the first use on and
//       no earlier, and works the same where it gives none.
// Method: memfds as the supervisor makes them, mapped twice as two incarnations would; the bytes on
//       huge pages are compared with what the kernel grants a plain mapping in the same test.
#include "worker/kv/kv_arena.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

namespace bitnetd::worker {
namespace {

constexpr uint64_t kPage = shm::kHugePageBytes;

Fd sealed(uint64_t bytes) {
    auto fd = shm::Segment::create_memfd("kv-test", bytes);
    if (!fd.ok() || !shm::seal_size(fd->get()).ok()) throw std::runtime_error("no memfd");
    return std::move(fd).value();
}

// What the memfd holds in memory.
uint64_t resident_bytes(const Fd& fd) {
    struct stat status {};
    fstat(fd.get(), &status);
    return static_cast<uint64_t>(status.st_blocks) * 512;
}

bool kernel_gathers() {
    const Fd fd = sealed(kPage);
    auto segment = shm::Segment::map_aligned(fd.get(), shm::Access::kReadWrite);
    return segment.ok() && shm::collapse_huge(segment->mutable_data(), kPage) == kPage;
}

TEST(KvArena, TakesNoMemoryBeforeItIsUsed) {
    const Fd fd = sealed(4 * kPage);
    auto arena = KvArena::map(fd.get(), true);
    ASSERT_TRUE(arena.ok()) << arena.error().message;
    EXPECT_EQ(arena->bytes(), 4 * kPage);
    EXPECT_STREQ(arena->huge_pages(), "transparent");
    EXPECT_EQ(resident_bytes(fd), 0u);
    arena->grow(0);
    EXPECT_EQ(resident_bytes(fd), 0u);
    arena->grow(kPage + 1);
    if (kernel_gathers()) {
        EXPECT_EQ(resident_bytes(fd), 2 * kPage);
    }
    EXPECT_LE(resident_bytes(fd), 2 * kPage);
}

TEST(KvArena, WhatIsUsedIsHugeAndStaysSoForTheNextIncarnation) {
    if (!kernel_gathers()) GTEST_SKIP() << "this kernel gathers no huge pages";
    const Fd fd = sealed(4 * kPage);
    {
        auto first = KvArena::map(fd.get(), true);
        ASSERT_TRUE(first.ok());
        first->grow(3 * kPage);
        std::memset(first->memory().data(), 7, 3 * kPage);
        EXPECT_EQ(shm::huge_bytes(first->memory().data()), 3 * kPage);
    }
    auto next = KvArena::map(fd.get(), true);
    ASSERT_TRUE(next.ok());
    next->grow(3 * kPage);
    EXPECT_EQ(shm::huge_bytes(next->memory().data()), 3 * kPage);
    EXPECT_TRUE(std::all_of(next->memory().begin(), next->memory().begin() + 3 * kPage,
                            [](std::byte value) { return value == std::byte{7}; }));
}

TEST(KvArena, MayBeToldNotTo) {
    const Fd fd = sealed(2 * kPage);
    auto arena = KvArena::map(fd.get(), false);
    ASSERT_TRUE(arena.ok());
    EXPECT_STREQ(arena->huge_pages(), "off");
    arena->grow(2 * kPage);
    EXPECT_EQ(resident_bytes(fd), 0u);
}

TEST(KvArena, UsesReservedPagesAsTheyAre) {
    auto made = shm::create_arena(2 * kPage, true);
    ASSERT_TRUE(made.ok() && shm::seal_size(made->fd.get()).ok());
    if (!made->is_reserved) GTEST_SKIP() << "no pages are reserved here (vm.nr_hugepages)";
    auto arena = KvArena::map(made->fd.get(), true);
    ASSERT_TRUE(arena.ok()) << arena.error().message;
    EXPECT_STREQ(arena->huge_pages(), "reserved");
    arena->grow(2 * kPage);
    std::memset(arena->memory().data(), 3, arena->memory().size());
    EXPECT_EQ(shm::huge_bytes(arena->memory().data()), 2 * kPage);
}

TEST(KvArena, ItsEndIsTheEnd) {
    const Fd fd = sealed(kPage + 4096);
    auto arena = KvArena::map(fd.get(), true);
    ASSERT_TRUE(arena.ok());
    arena->grow(UINT64_MAX - kPage);
    arena->memory().back() = std::byte{1};
    EXPECT_EQ(arena->memory().back(), std::byte{1});
}

TEST(KvArena, RefusesWhatCouldShrink) {
    auto fd = shm::Segment::create_memfd("loose", kPage);
    ASSERT_TRUE(fd.ok());
    EXPECT_FALSE(KvArena::map(fd->get(), true).ok());
}

}  // namespace
}  // namespace bitnetd::worker
