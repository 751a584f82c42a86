// Goal: the consumer gets whole records in order, once, and meets a hostile producer with an Error.
// Method: one thread plays both ends of a small ring on the heap; spoiled tails and headers are
// written straight into its memory, and address sanitizer guards its edges.
#include "shm/ring/ring_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/shm/ring/ring_memory.h"

namespace bitnetd::shm {
namespace {

using test::RingMemory;

const auto kIgnore = [](RecordType, std::span<const std::byte>) {};

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

void put_header(RingMemory& ring, uint64_t at, RecordHeader header) {
    std::memcpy(ring.data().data() + at, &header, sizeof header);
}

TEST(RingReader, DeliversInOrderWithTypeAndPayload) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    EXPECT_FALSE(reader.has_records());
    ASSERT_TRUE(writer.try_publish(RecordType::kSubmit, bytes("one")));
    ASSERT_TRUE(writer.try_publish(RecordType::kCancel, {}));
    ASSERT_TRUE(writer.try_publish(static_cast<RecordType>(999), bytes("three")));
    EXPECT_TRUE(reader.has_records());
    std::vector<std::pair<RecordType, std::string>> got;
    const auto count = reader.poll(
        [&](RecordType type, std::span<const std::byte> payload) {
            got.emplace_back(
                type, std::string(reinterpret_cast<const char*>(payload.data()), payload.size()));
        },
        100);
    ASSERT_TRUE(count.ok());
    EXPECT_EQ(*count, 3u);
    ASSERT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0], std::pair(RecordType::kSubmit, std::string("one")));
    EXPECT_EQ(got[1], std::pair(RecordType::kCancel, std::string()));
    EXPECT_EQ(got[2], std::pair(static_cast<RecordType>(999), std::string("three")));
    EXPECT_FALSE(reader.has_records());
    EXPECT_EQ(*reader.poll(kIgnore, 100), 0u);
}

TEST(RingReader, StopsAtRecordsMax) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    for (int i = 0; i < 5; ++i)
        ASSERT_TRUE(writer.try_publish(RecordType::kToken, {}));
    EXPECT_EQ(*reader.poll(kIgnore, 0), 0u);
    EXPECT_EQ(*reader.poll(kIgnore, 2), 2u);
    EXPECT_EQ(ring.header().head.load(), 16u);
    EXPECT_EQ(*reader.poll(kIgnore, 100), 3u);
}

TEST(RingReader, TheHeadMovesAfterTheRecordWasHandled) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, bytes("x")));
    uint64_t head_inside = 99;
    ASSERT_TRUE(
        reader
            .poll([&](RecordType,
                      std::span<const std::byte>) { head_inside = ring.header().head.load(); },
                  1)
            .ok());
    EXPECT_EQ(head_inside, 0u);
    EXPECT_EQ(ring.header().head.load(), 16u);
}

TEST(RingReader, ThePayloadIsACopy) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, bytes("harmless")));
    const auto count = reader.poll(
        [&](RecordType, std::span<const std::byte> payload) {
            std::fill(ring.data().begin(), ring.data().end(),
                      std::byte{0xff});  // a hostile producer
            EXPECT_EQ(std::memcmp(payload.data(), "harmless", 8), 0);
            EXPECT_EQ(reinterpret_cast<uintptr_t>(payload.data()) % 16, 0u);
        },
        1);
    EXPECT_TRUE(count.ok());
}

TEST(RingReader, DrainEndsAtTheTailSeenOnce) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, {}));
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, {}));
    // A producer that was given up and still publishes, as fast as it is read.
    const auto publish = [&](RecordType, std::span<const std::byte>) {
        ASSERT_TRUE(writer.try_publish(RecordType::kToken, {}));
    };
    EXPECT_EQ(*reader.drain(publish), 2u);
    EXPECT_EQ(*reader.drain(kIgnore), 2u);
    EXPECT_EQ(*reader.drain(kIgnore), 0u);
}

TEST(RingReader, RetiresOnATailThatNoProducerStores) {
    const auto broken_by = [](uint64_t tail) {
        RingMemory ring;
        RingWriter writer = ring.writer();
        RingReader reader = ring.reader();
        for (int i = 0; i < 4; ++i)
            EXPECT_TRUE(writer.try_publish(RecordType::kToken, {}));
        EXPECT_EQ(*reader.poll(kIgnore, 2), 2u);  // head 16, tail seen 32
        ring.header().tail = tail;
        const bool waiting = reader.has_records();
        const auto count = reader.poll(kIgnore, 0 + 100);
        if (count.ok()) return false;
        EXPECT_TRUE(waiting) << "so that the error is met";
        EXPECT_EQ(count.error().code, ErrorCode::kInvalid);
        EXPECT_TRUE(reader.retired());
        ring.header().tail = 32;
        EXPECT_FALSE(reader.poll(kIgnore, 1).ok()) << "retired for good";
        EXPECT_FALSE(reader.drain(kIgnore).ok());
        return true;
    };
    EXPECT_FALSE(broken_by(32));
    EXPECT_TRUE(broken_by(24)) << "backwards";
    EXPECT_TRUE(broken_by(0)) << "before the head";
    EXPECT_TRUE(broken_by(36)) << "between records";
    EXPECT_TRUE(broken_by(16 + kRingCapacityMin + 8)) << "more than a lap ahead";
    EXPECT_TRUE(broken_by(UINT64_MAX - 7));
    EXPECT_TRUE(broken_by(uint64_t{1} << 63));
}

TEST(RingReader, RetiresOnARecordThatNoProducerWrites) {
    const auto broken_by = [](RecordHeader header, uint64_t at, uint64_t published) {
        RingMemory ring;
        ring.header().head = at;
        ring.header().tail = at;
        RingReader reader = ring.reader();
        put_header(ring, at % kRingCapacityMin, header);
        ring.header().tail = at + published;
        return !reader.poll(kIgnore, 1).ok() && reader.retired();
    };
    EXPECT_FALSE(broken_by({8, 1, 0}, 0, 16));
    EXPECT_TRUE(broken_by({9, 1, 0}, 0, 16)) << "runs past the tail";
    EXPECT_TRUE(broken_by({UINT32_MAX, 1, 0}, 0, 4096));
    EXPECT_TRUE(broken_by({1017, 1, 0}, 0, 4096)) << "larger than a quarter";
    EXPECT_TRUE(broken_by({8, 1, 7}, 0, 16)) << "flags";
    EXPECT_TRUE(broken_by({16, 1, 0}, 4080, 64)) << "crosses the end of the lap";
    EXPECT_TRUE(broken_by({0, 0, 0}, 0, 16)) << "a pad that does not end the lap";
    EXPECT_TRUE(broken_by({4088, 0, 0}, 0, 4096)) << "a pad of a whole lap";
}

TEST(RingReader, GoodRecordsBeforeABadOneAreDelivered) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, bytes("good")));
    put_header(ring, 16, {UINT32_MAX, 1, 0});
    ring.header().tail = 32;
    size_t delivered = 0;
    EXPECT_FALSE(
        reader.poll([&](RecordType, std::span<const std::byte>) { ++delivered; }, 10).ok());
    EXPECT_EQ(delivered, 1u);
}

TEST(RingReader, TheSharedHeadAndCapacityAreNotReadBack) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, bytes("kept")));
    ring.header().head = 4096;
    ring.header().capacity_bytes = uint64_t{1} << 40;
    ring.header().abi_version = 0;
    std::string got;
    ASSERT_EQ(*reader.poll(
                  [&](RecordType, std::span<const std::byte> it) {
                      got.assign(reinterpret_cast<const char*>(it.data()), it.size());
                  },
                  10),
              1u);
    EXPECT_EQ(got, "kept");
}

TEST(RingReader, GarbageIsAnErrorOrPlainValuesNeverMore) {
    const char* given = std::getenv("BITNETD_SEED");
    const uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    SCOPED_TRACE("BITNETD_SEED=" + std::to_string(seed));
    std::printf("BITNETD_SEED=%llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    size_t errors = 0, delivered = 0;
    for (int round = 0; round < 20'000; ++round) {
        RingMemory ring;
        const uint64_t start = (random() % 16) * 8 + (random() % 3) * 4000;
        ring.header().head = start;
        ring.header().tail = start;
        RingReader reader = ring.reader();
        RingWriter writer = ring.writer();
        // Half of the words are small, so that a part of the garbage is nearly right.
        for (size_t at = 0; at < ring.data().size(); at += 8) {
            uint64_t word = random();
            if (random() % 2 == 0) word = (random() % 64) | (random() % 4) << 32;
            std::memcpy(ring.data().data() + at, &word, 8);
        }
        for (int turn = 0; turn < 4; ++turn) {
            ring.header().tail = random() % 2 == 0 ? random() : start + (random() % 600) * 8;
            ring.header().head = random() % 2 == 0 ? random() : start + (random() % 600) * 8;
            const auto count = reader.poll(
                [&](RecordType, std::span<const std::byte> it) {
                    EXPECT_LE(it.size(), ring_payload_max(kRingCapacityMin));
                    delivered += it.size() <= 1016;
                },
                1000);
            errors += !count.ok();
            static_cast<void>(writer.try_publish(RecordType::kToken, bytes("answer")));
        }
    }
    EXPECT_GT(errors, 0u);
    EXPECT_GT(delivered, 0u) << "the garbage is too wild to reach the copying code";
}

}  // namespace
}  // namespace bitnetd::shm
