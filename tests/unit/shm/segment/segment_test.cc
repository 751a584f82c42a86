// Goal: a segment is exactly as large and as writable as was asked, seals hold, and what cannot be
// mapped is an Error, never a crash.
// Method: real memfds in one process; the kernel is asked what it did (seals, /proc).
#include "shm/segment/segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

namespace bitnetd::shm {
namespace {

Fd memfd(uint64_t bytes) {
    auto fd = Segment::create_memfd("bitnetd-test", bytes);
    EXPECT_TRUE(fd.ok()) << (fd.ok() ? "" : fd.error().message);
    return fd.ok() ? std::move(fd).value() : Fd();
}

Segment map(const Fd& fd, Access access) {
    auto segment = Segment::map(fd.get(), access);
    EXPECT_TRUE(segment.ok()) << (segment.ok() ? "" : segment.error().message);
    return segment.ok() ? std::move(segment).value() : Segment();
}

TEST(Segment, WritesOfOneMappingAreSeenByAnother) {
    const Fd fd = memfd(10'000);
    Segment writer = map(fd, Access::kReadWrite);
    const Segment reader = map(fd, Access::kRead);
    ASSERT_EQ(writer.bytes(), 10'000u);
    ASSERT_EQ(reader.bytes(), 10'000u);
    ASSERT_NE(writer.data(), reader.data());
    EXPECT_EQ(reader.data()[9'999], std::byte{0});
    writer.mutable_data()[9'999] = std::byte{7};
    EXPECT_EQ(reader.data()[9'999], std::byte{7});
}

TEST(Segment, OutlivesItsDescriptorAndKeepsItsAddressWhenMoved) {
    Segment segment;
    const std::byte* address = nullptr;
    {
        const Fd fd = memfd(4096);
        Segment mapped = map(fd, Access::kReadWrite);
        address = mapped.data();
        mapped.mutable_data()[0] = std::byte{1};
        segment = std::move(mapped);
        EXPECT_EQ(mapped.bytes(), 0u);  // NOLINT(bugprone-use-after-move): moved-from is empty
        EXPECT_EQ(mapped.data(), nullptr);
    }
    EXPECT_EQ(segment.data(), address);
    EXPECT_EQ(segment.data()[0], std::byte{1});
}

TEST(Segment, RefusesImpossibleSizes) {
    EXPECT_FALSE(Segment::create_memfd("x", 0).ok());
    EXPECT_FALSE(Segment::create_memfd("x", kSegmentBytesMax + 1).ok());
    EXPECT_FALSE(Segment::create_memfd("x", UINT64_MAX).ok());
    const Fd empty(memfd_create("empty", MFD_CLOEXEC));
    const auto mapped = Segment::map(empty.get(), Access::kRead);
    ASSERT_FALSE(mapped.ok());
    EXPECT_EQ(mapped.error().code, ErrorCode::kInvalid);
}

TEST(Segment, RefusesWhatIsNoFile) {
    EXPECT_FALSE(Segment::map(-1, Access::kRead).ok());
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const Fd in(ends[0]), out(ends[1]);
    EXPECT_FALSE(Segment::map(in.get(), Access::kRead).ok());
}

TEST(Segment, DescriptorIsCloseOnExecAndNotExecutable) {
    const Fd fd = memfd(4096);
    EXPECT_EQ(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(Segment, AsChecksRangeAlignmentAndAccess) {
    const Fd fd = memfd(64);
    const Segment writer = map(fd, Access::kReadWrite);
    const Segment reader = map(fd, Access::kRead);
    EXPECT_NE(writer.as<uint64_t>(), nullptr);
    EXPECT_NE(writer.as<uint64_t>(56), nullptr);
    EXPECT_EQ(writer.as<uint64_t>(57), nullptr);
    EXPECT_EQ(writer.as<uint64_t>(60), nullptr);
    EXPECT_EQ(writer.as<uint64_t>(64), nullptr);
    EXPECT_EQ(writer.as<uint64_t>(UINT64_MAX - 7), nullptr);
    EXPECT_EQ(reader.as<uint64_t>(), nullptr);
    EXPECT_NE(reader.as<const uint64_t>(), nullptr);
}

TEST(SegmentDeathTest, MutableDataOfAReadOnlyMappingIsABug) {
    const Fd fd = memfd(64);
    Segment reader = map(fd, Access::kRead);
    EXPECT_DEATH(reader.mutable_data(), "check failed: writable");
}

TEST(Seals, SizeIsFixedAndContentsAreNot) {
    const Fd fd = memfd(4096);
    EXPECT_FALSE(check_size_sealed(fd.get()).ok());
    ASSERT_TRUE(seal_size(fd.get()).ok());
    EXPECT_TRUE(check_size_sealed(fd.get()).ok());
    EXPECT_FALSE(check_weights_sealed(fd.get()).ok());
    EXPECT_NE(ftruncate(fd.get(), 0), 0);
    EXPECT_NE(ftruncate(fd.get(), 8192), 0);
    Segment writer = map(fd, Access::kReadWrite);
    writer.mutable_data()[0] = std::byte{1};
    EXPECT_FALSE(seal_weights(fd.get()).ok()) << "F_SEAL_SEAL allows no further seals";
}

TEST(Seals, WeightsNeedTheWritableMappingGone) {
    const Fd fd = memfd(4096);
    {
        Segment writer = map(fd, Access::kReadWrite);
        writer.mutable_data()[0] = std::byte{42};
        const auto busy = seal_weights(fd.get());
        ASSERT_FALSE(busy.ok());
        EXPECT_NE(busy.error().message.find("unmap it first"), std::string::npos)
            << busy.error().message;
    }
    ASSERT_TRUE(seal_weights(fd.get()).ok());
    EXPECT_TRUE(check_weights_sealed(fd.get()).ok());
    EXPECT_FALSE(Segment::map(fd.get(), Access::kReadWrite).ok());
    EXPECT_LT(write(fd.get(), "x", 1), 0);
    auto read_only = reopen_read_only(fd.get());
    ASSERT_TRUE(read_only.ok()) << read_only.error().message;
    const Segment reader = map(*read_only, Access::kRead);
    EXPECT_EQ(reader.data()[0], std::byte{42});
}

TEST(Seals, OfSomethingThatHasNone) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const Fd in(ends[0]), out(ends[1]);
    EXPECT_FALSE(check_size_sealed(in.get()).ok());
    EXPECT_FALSE(seal_size(in.get()).ok());
    EXPECT_FALSE(seal_weights(in.get()).ok());
}

TEST(ReopenReadOnly, CannotBeMappedWritable) {
    const Fd fd = memfd(4096);
    auto read_only = reopen_read_only(fd.get());
    ASSERT_TRUE(read_only.ok()) << read_only.error().message;
    EXPECT_TRUE(Segment::map(read_only->get(), Access::kRead).ok());
    const auto writable = Segment::map(read_only->get(), Access::kReadWrite);
    ASSERT_FALSE(writable.ok());
    EXPECT_EQ(writable.error().code, ErrorCode::kIo);
    EXPECT_FALSE(reopen_read_only(-1).ok());
}

TEST(MapAligned, LiesAtAHugePageAndLeavesNoReservationBehind) {
    const Fd fd = memfd(5 * kHugePageBytes + 12'345);
    auto segment = Segment::map_aligned(fd.get(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok()) << segment.error().message;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(segment->data()) % kHugePageBytes, 0u);
    EXPECT_EQ(segment->bytes(), 5 * kHugePageBytes + 12'345);
    std::memset(segment->mutable_data(), 1, segment->bytes());
    const std::byte* const address = segment->data();
    { const Segment gone = std::move(*segment); }
    // Nothing of it is mapped any more: mincore() knows mapped pages only.
    unsigned char resident[1];
    EXPECT_NE(mincore(const_cast<std::byte*>(address), 4096, resident), 0);
}

TEST(MapAligned, GivesItsReservationBackWhenTheMappingFails) {
    const Fd fd = memfd(4096);
    auto read_only = reopen_read_only(fd.get());
    ASSERT_TRUE(read_only.ok());
    const auto count_mappings = [] {
        std::ifstream maps("/proc/self/maps");
        size_t lines = 0;
        for (std::string line; std::getline(maps, line);)
            ++lines;
        return lines;
    };
    EXPECT_FALSE(Segment::map_aligned(read_only->get(), Access::kReadWrite).ok());
    const size_t before = count_mappings();
    for (int i = 0; i < 50; ++i) {
        EXPECT_FALSE(Segment::map_aligned(read_only->get(), Access::kReadWrite).ok());
    }
    EXPECT_LT(count_mappings(), before + 25);
}

TEST(HugePages, CollapsedBytesAreCountedByTheKernelToo) {
    const Fd fd = memfd(2 * kHugePageBytes);
    auto segment = Segment::map_aligned(fd.get(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok());
    std::memset(segment->mutable_data(), 1, segment->bytes());
    const uint64_t collapsed = collapse_huge(segment->mutable_data(), segment->bytes());
    EXPECT_LE(collapsed, segment->bytes());
    // The kernel may refuse (no free huge page); what it accepted is mapped huge.
    EXPECT_EQ(huge_bytes(segment->data()), collapsed);
    EXPECT_EQ(segment->data()[kHugePageBytes], std::byte{1});
    EXPECT_EQ(huge_bytes(nullptr), 0u);
    EXPECT_EQ(collapse_huge(segment->mutable_data() + 1, kHugePageBytes), 0u)
        << "no whole page in it";
}

TEST(HugePages, WhatWasNeverWrittenCanBeCollapsedAndIsZero) {
    const Fd written = memfd(2 * kHugePageBytes), fresh = memfd(2 * kHugePageBytes);
    auto before = Segment::map_aligned(written.get(), Access::kReadWrite);
    auto after = Segment::map_aligned(fresh.get(), Access::kReadWrite);
    ASSERT_TRUE(before.ok() && after.ok());
    std::memset(before->mutable_data(), 1, before->bytes());
    const uint64_t granted = collapse_huge(before->mutable_data(), before->bytes());
    const uint64_t collapsed = collapse_huge(after->mutable_data(), after->bytes());
    if (granted == before->bytes()) {
        EXPECT_EQ(collapsed, granted);
    }
    EXPECT_EQ(huge_bytes(after->data()), collapsed);
    EXPECT_TRUE(std::all_of(after->data(), after->data() + after->bytes(),
                            [](std::byte value) { return value == std::byte{0}; }));
}

TEST(HugePages, AreMappedAtOnceForAReader) {
    const Fd fd = memfd(3 * kHugePageBytes);
    uint64_t collapsed = 0;
    {
        auto writer = Segment::map_aligned(fd.get(), Access::kReadWrite);
        ASSERT_TRUE(writer.ok());
        collapsed = collapse_huge(writer->mutable_data(), writer->bytes());
    }
    const auto reader = Segment::map_aligned(fd.get(), Access::kRead);
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(huge_bytes(reader->data()), 0u) << "nothing was read";
    EXPECT_EQ(map_huge_now(*reader), collapsed);
    const Fd small = memfd(kHugePageBytes);
    const auto plain = Segment::map_aligned(small.get(), Access::kRead);
    ASSERT_TRUE(plain.ok());
    EXPECT_EQ(map_huge_now(*plain), huge_bytes(plain->data()));
}

// Where no pages are reserved, which is the rule, only the fallback is seen.
TEST(Arena, IsOnReservedPagesOrFallsBack) {
    const auto plain = create_arena(kHugePageBytes, false);
    ASSERT_TRUE(plain.ok());
    EXPECT_FALSE(plain->is_reserved);
    EXPECT_FALSE(is_on_reserved_pages(plain->fd.get()));
    const auto wanted = create_arena(kHugePageBytes + 1, true);
    ASSERT_TRUE(wanted.ok());
    EXPECT_EQ(is_on_reserved_pages(wanted->fd.get()), wanted->is_reserved);
    ASSERT_TRUE(seal_size(wanted->fd.get()).ok());
    auto segment = Segment::map_aligned(wanted->fd.get(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok());
    EXPECT_EQ(segment->bytes(), wanted->is_reserved ? 2 * kHugePageBytes : kHugePageBytes + 1);
    std::memset(segment->mutable_data(), 1, segment->bytes());
    if (wanted->is_reserved) {
        EXPECT_EQ(huge_bytes(segment->data()), 2 * kHugePageBytes);
    }
}

TEST(Arena, MoreThanIsReservedIsNoError) {
    const auto arena = create_arena(kSegmentBytesMax, true);
    ASSERT_TRUE(arena.ok()) << arena.error().message;
    EXPECT_FALSE(arena->is_reserved);
}

}  // namespace
}  // namespace bitnetd::shm
