// Goal: the producer never overwrites what is unread, says "full" exactly when it is, and is not
// fooled by a hostile consumer. Method: one thread plays both ends of a small ring on the heap
// (address sanitizer guards its edges).
#include "shm/ring/ring_writer.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/shm/ring/ring_memory.h"

namespace bitnetd::shm {
namespace {

using test::RingMemory;

std::vector<std::byte> payload_of(size_t bytes, uint8_t fill) {
    return std::vector<std::byte>(bytes, std::byte{fill});
}

TEST(RingWriter, NothingIsVisibleBeforeThePublication) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    EXPECT_EQ(writer.free_bytes(), kRingCapacityMin);
    EXPECT_EQ(ring.header().tail.load(), 0u);
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, payload_of(5, 1)));
    EXPECT_EQ(ring.header().tail.load(), 16u);
    EXPECT_EQ(writer.free_bytes(), kRingCapacityMin - 16);
}

TEST(RingWriter, JoinsTwoParts) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    const uint32_t head = 0x01020304;
    ASSERT_TRUE(writer.try_publish(RecordType::kSubmit, bytes_of(head), payload_of(3, 9)));
    ASSERT_TRUE(writer.try_publish(RecordType::kSubmit, {}, payload_of(2, 8)));
    std::vector<std::vector<std::byte>> got;
    ASSERT_TRUE(
        reader
            .poll([&](RecordType,
                      std::span<const std::byte> it) { got.emplace_back(it.begin(), it.end()); },
                  10)
            .ok());
    ASSERT_EQ(got.size(), 2u);
    ASSERT_EQ(got[0].size(), 7u);
    EXPECT_EQ(load<uint32_t>(got[0].data()), head);
    EXPECT_EQ(got[0][6], std::byte{9});
    EXPECT_EQ(got[1], payload_of(2, 8));
}

TEST(RingWriter, FullIsBackPressureAndEndsWhenTheConsumerReads) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    const auto largest = payload_of(writer.max_payload_bytes(), 3);
    for (int i = 0; i < 4; ++i) {
        EXPECT_TRUE(writer.fits(largest.size()));
        EXPECT_TRUE(writer.try_publish(RecordType::kToken, largest));
    }
    EXPECT_EQ(writer.free_bytes(), 0u);
    EXPECT_FALSE(writer.fits(0));
    EXPECT_FALSE(writer.try_publish(RecordType::kToken, {}));
    EXPECT_FALSE(writer.retired());
    const uint64_t tail = ring.header().tail.load();
    EXPECT_EQ(tail, kRingCapacityMin) << "a refused record leaves no trace";
    ASSERT_EQ(*reader.poll([](RecordType, std::span<const std::byte>) {}, 1), 1u);
    EXPECT_TRUE(writer.fits(largest.size()));
    EXPECT_TRUE(writer.try_publish(RecordType::kToken, largest));
    EXPECT_FALSE(writer.try_publish(RecordType::kToken, {}));
}

TEST(RingWriter, CountsThePadThatARecordWouldNeed) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    const auto nothing = [](RecordType, std::span<const std::byte>) {};
    // 3 quarters, then 512 bytes: 512 are left in this lap.
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(writer.try_publish(RecordType::kToken, payload_of(1016, 1)));
    }
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, payload_of(504, 1)));
    EXPECT_EQ(writer.free_bytes(), 512u);
    EXPECT_TRUE(writer.fits(504));
    EXPECT_FALSE(writer.fits(505)) << "does not fit before the end, and the next lap is not free";
    ASSERT_EQ(*reader.poll(nothing, 1), 1u);
    EXPECT_EQ(writer.free_bytes(), 512u + 1024);
    EXPECT_TRUE(writer.fits(1016)) << "a pad of 512 and a record of 1024";
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, payload_of(1016, 2)));
    EXPECT_EQ(writer.free_bytes(), 0u);
    EXPECT_EQ(*reader.poll(nothing, 10), 4u);
    EXPECT_EQ(writer.free_bytes(), kRingCapacityMin);
}

TEST(RingWriter, TheLargestRecordAlwaysFitsAnEmptyRing) {
    const auto nothing = [](RecordType, std::span<const std::byte>) {};
    for (size_t offset = 8; offset < kRingCapacityMin; offset += 8) {
        RingMemory ring;
        RingWriter writer = ring.writer();
        RingReader reader = ring.reader();
        for (size_t done = 0; done < offset; done += 8) {
            ASSERT_TRUE(writer.try_publish(RecordType::kToken, {}));
            ASSERT_EQ(*reader.poll(nothing, 1), 1u);
        }
        ASSERT_TRUE(
            writer.try_publish(RecordType::kToken, payload_of(writer.max_payload_bytes(), 1)))
            << offset;
        ASSERT_EQ(*reader.poll(nothing, 2), 1u) << offset;
    }
}

TEST(RingWriter, RetiresOnAHeadThatNoConsumerStores) {
    const auto retired_by = [](uint64_t head) {
        RingMemory ring;
        RingWriter writer = ring.writer();
        RingReader reader = ring.reader();
        EXPECT_TRUE(writer.try_publish(RecordType::kToken, payload_of(100, 1)));
        EXPECT_EQ(*reader.poll([](RecordType, std::span<const std::byte>) {}, 1), 1u);
        EXPECT_TRUE(writer.try_publish(RecordType::kToken, payload_of(100, 1)));
        writer.free_bytes();  // sees head = 112
        ring.header().head = head;
        const uint64_t free = writer.free_bytes();
        if (!writer.retired()) return false;
        EXPECT_EQ(free, 0u);
        EXPECT_FALSE(writer.fits(0));
        ring.header().head = 112;
        EXPECT_FALSE(writer.try_publish(RecordType::kToken, {})) << "retired for good";
        return true;
    };
    EXPECT_FALSE(retired_by(112));
    EXPECT_FALSE(retired_by(224));
    EXPECT_TRUE(retired_by(0)) << "backwards";
    EXPECT_TRUE(retired_by(116)) << "between records";
    EXPECT_TRUE(retired_by(232)) << "beyond the tail";
    EXPECT_TRUE(retired_by(UINT64_MAX));
    EXPECT_TRUE(retired_by(UINT64_MAX - 7));
}

TEST(RingWriter, TheSharedTailIsNotReadBack) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    ring.header().tail = UINT64_MAX - 7;
    ring.header().capacity_bytes = uint64_t{1} << 40;
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, payload_of(1016, 1)));
    EXPECT_EQ(ring.header().tail.load(), 1024u);
}

TEST(RingWriterDeathTest, OversizedRecordsAndPadsAreBugs) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    EXPECT_DEATH(writer.try_publish(RecordType::kToken, payload_of(1017, 1)), "max_payload_bytes");
    EXPECT_DEATH(writer.try_publish(RecordType::kPad, payload_of(8, 1)), "kPad");
}

}  // namespace
}  // namespace bitnetd::shm
