// Goal: a ring is made, recognised and refused by its header alone, and every record header means
// exactly one thing.
// Method: each field of a good header is spoiled in turn; check_record() is walked around its
// limits.
#include "shm/ring/ring.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/shm/ring/ring_memory.h"

namespace bitnetd::shm {
namespace {

using test::RingMemory;

TEST(Ring, SegmentHoldsHeaderAndCapacityInWholePages) {
    EXPECT_EQ(ring_segment_bytes(4096), 8192u);
    EXPECT_EQ(ring_segment_bytes(1 << 20), (1u << 20) + 4096);
    EXPECT_EQ(ring_payload_max(4096), 1024u - 8);
    EXPECT_EQ(record_bytes(0), 8u);
    EXPECT_EQ(record_bytes(1), 16u);
    EXPECT_EQ(record_bytes(8), 16u);
    EXPECT_EQ(record_bytes(9), 24u);
}

TEST(Ring, InSegment) {
    auto fd = Segment::create_memfd("ring", ring_segment_bytes(65'536));
    ASSERT_TRUE(fd.ok());
    auto segment = Segment::map(fd->get(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok());
    EXPECT_FALSE(RingReader::open(*segment).ok()) << "not initialised yet";
    ASSERT_TRUE(init_ring(*segment, 3, 4).ok());
    const auto shape = read_ring_shape(segment->view());
    ASSERT_TRUE(shape.ok()) << shape.error().message;
    EXPECT_EQ(shape->capacity_bytes, 65'536u);
    EXPECT_EQ(shape->consumer_incarnation, 3u);
    EXPECT_EQ(shape->producer_incarnation, 4u);
    EXPECT_TRUE(RingReader::open(*segment).ok());
    EXPECT_TRUE(RingWriter::open(*segment).ok());
}

TEST(Ring, RefusesMemoryThatIsTooSmallOrTooLarge) {
    std::vector<std::byte> small(sizeof(RingHeader) + kRingCapacityMin - 1);
    EXPECT_FALSE(init_ring(small, 1, 2).ok());
    EXPECT_FALSE(init_ring(std::span<std::byte>(), 1, 2).ok());
    EXPECT_FALSE(read_ring_shape(std::span(small).first(sizeof(RingHeader) - 1)).ok());
    auto fd = Segment::create_memfd("ring", 2 * kRingCapacityMax + 4096);
    ASSERT_TRUE(fd.ok());
    auto segment = Segment::map(fd->get(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok());
    EXPECT_FALSE(init_ring(*segment, 1, 2).ok());
}

TEST(Ring, RefusesEachSpoiledHeaderField) {
    const auto refused = [](auto&& spoil) {
        RingMemory ring;
        spoil(ring.header());
        return !read_ring_shape(ring.memory()).ok() && !RingReader::open(ring.memory()).ok() &&
               !RingWriter::open(ring.memory()).ok();
    };
    EXPECT_FALSE(refused([](RingHeader&) {}));
    EXPECT_TRUE(refused([](RingHeader& it) { it.abi_version = 0; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.abi_version = kRingAbiVersion + 1; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.header_bytes = 0; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.header_bytes = 200; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.capacity_bytes = 0; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.capacity_bytes = 2048; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.capacity_bytes = 4095; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.capacity_bytes = 8192; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.capacity_bytes = UINT64_MAX; }));
    EXPECT_TRUE(refused([](RingHeader& it) { it.capacity_bytes = uint64_t{1} << 63; }));
}

TEST(Ring, OpenRefusesIndicesThatDoNotBelongTogether) {
    const auto opens = [](uint64_t head, uint64_t tail) {
        RingMemory ring;
        ring.header().head = head;
        ring.header().tail = tail;
        const bool reader = RingReader::open(ring.memory()).ok();
        const bool writer = RingWriter::open(ring.memory()).ok();
        EXPECT_EQ(reader, writer) << head << " " << tail;
        return reader;
    };
    EXPECT_TRUE(opens(0, 0));
    EXPECT_TRUE(opens(0, 4096));
    EXPECT_TRUE(opens(8'000, 8'008));
    EXPECT_FALSE(opens(0, 4104));
    EXPECT_FALSE(opens(8, 0));
    EXPECT_FALSE(opens(4, 4));
    EXPECT_FALSE(opens(0, 12));
    EXPECT_FALSE(opens(0, UINT64_MAX - 7));
}

TEST(CheckRecord, KnowsGoodRecordsFromBadOnes) {
    constexpr uint64_t kCapacity = 4096;
    const auto check = [](uint32_t length, uint16_t type, uint16_t flags, uint64_t position,
                          uint64_t available) {
        return check_record({length, type, flags}, position, available, kCapacity);
    };
    EXPECT_EQ(check(8, 1, 0, 0, 16), RecordCheck::kRecord);
    EXPECT_EQ(check(0, 1, 0, 0, 8), RecordCheck::kRecord);
    EXPECT_EQ(check(8, 65'535, 0, 0, 16), RecordCheck::kRecord)
        << "types are the receiver's business";
    EXPECT_EQ(check(8, 1, 0, 0, 8), RecordCheck::kBad) << "longer than what is published";
    EXPECT_EQ(check(8, 1, 1, 0, 16), RecordCheck::kBad) << "flags";
    EXPECT_EQ(check(1016, 1, 0, 0, 4096), RecordCheck::kRecord) << "a quarter";
    EXPECT_EQ(check(1017, 1, 0, 0, 4096), RecordCheck::kBad) << "more than a quarter";
    EXPECT_EQ(check(UINT32_MAX, 1, 0, 0, 4096), RecordCheck::kBad);
    EXPECT_EQ(check(8, 1, 0, 4080, 4096), RecordCheck::kRecord) << "ends with the lap";
    EXPECT_EQ(check(9, 1, 0, 4080, 4096), RecordCheck::kBad) << "crosses the lap";
    EXPECT_EQ(check(8, 0, 0, 4080, 4096), RecordCheck::kPad);
    EXPECT_EQ(check(0, 0, 0, 4096 + 4088, 4096), RecordCheck::kPad);
    EXPECT_EQ(check(0, 0, 0, 4080, 4096), RecordCheck::kBad) << "a pad ends its lap";
    EXPECT_EQ(check(4088, 0, 0, 0, 4096), RecordCheck::kBad) << "no pad is a whole lap";
}

}  // namespace
}  // namespace bitnetd::shm
