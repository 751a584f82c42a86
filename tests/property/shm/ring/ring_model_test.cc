// Goal: a ring behaves as the plainest queue does, whatever the order of calls, the sizes, the wrap
// of its laps or the reopening of its ends.
// Method: random histories against a std::deque of expected records; replay by seed.
#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <random>
#include <vector>

#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"
#include "tests/property/shm/seed.h"
#include "tests/unit/shm/ring/ring_memory.h"

namespace bitnetd::shm {
namespace {

struct Record {
    RecordType type;
    std::vector<std::byte> payload;
    bool operator==(const Record&) const = default;
};

class Model {
  public:
    explicit Model(uint64_t seed) : random_(seed) {}

    void step() {
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2:
            case 3:
                publish();
                break;
            case 4:
            case 5:
                poll();
                break;
            case 6:
                drain();
                break;
            default:
                reopen();
        }
        // What the writer thinks is free is what the unread records do not need, padding apart.
        uint64_t used = 0;
        for (const Record& it : expected_)
            used += record_bytes(it.payload.size());
        EXPECT_LE(writer_.free_bytes(), kRingCapacityMin - used);
        EXPECT_EQ(reader_.has_records(), !expected_.empty());
    }

  private:
    void publish() {
        const uint64_t limit = random_() % 4 == 0 ? writer_.max_payload_bytes() : 40;
        Record record{static_cast<RecordType>(1 + random_() % 30), {}};
        record.payload.resize(random_() % (limit + 1));
        for (std::byte& it : record.payload)
            it = static_cast<std::byte>(random_());
        const bool fits = writer_.fits(record.payload.size());
        EXPECT_EQ(writer_.try_publish(record.type, record.payload), fits);
        if (expected_.empty()) {
            EXPECT_TRUE(fits) << "an empty ring takes any record";
        }
        if (fits) expected_.push_back(std::move(record));
    }
    void check(RecordType type, std::span<const std::byte> payload) {
        ASSERT_FALSE(expected_.empty());
        EXPECT_EQ(expected_.front(), (Record{type, {payload.begin(), payload.end()}}));
        expected_.pop_front();
    }
    void poll() {
        const size_t limit = random_() % 5;
        const size_t there = expected_.size();
        const auto count = reader_.poll([&](auto... it) { check(it...); }, limit);
        ASSERT_TRUE(count.ok());
        EXPECT_EQ(*count, std::min(limit, there));
    }
    void drain() {
        const size_t there = expected_.size();
        const auto count = reader_.drain([&](auto... it) { check(it...); });
        ASSERT_TRUE(count.ok());
        EXPECT_EQ(*count, there);
    }
    void reopen() {
        reader_ = ring_.reader();
        writer_ = ring_.writer();
    }

    std::mt19937_64 random_;
    test::RingMemory ring_;
    RingWriter writer_ = ring_.writer();
    RingReader reader_ = ring_.reader();
    std::deque<Record> expected_;
};

TEST(RingModel, BehavesAsAQueue) {
    const uint64_t seed = test::choose_seed();
    for (uint64_t history = 0; history < 50; ++history) {
        Model model(seed + history);
        for (int i = 0; i < 4'000 && !testing::Test::HasFailure(); ++i)
            model.step();
    }
}

}  // namespace
}  // namespace bitnetd::shm
