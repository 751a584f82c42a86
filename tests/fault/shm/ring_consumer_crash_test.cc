// Goal: a consumer that dies at any CRASH label has handled whole records up to a point; its
// producer meets at worst a full ring, never a corrupt one, and a new consumer goes on. Method: a
// real consumer process is killed at each label, at several passes of it. It notes what it handled
// in shared memory; the test compares that, the ring's head, and what a next reader would get.
#include <string>

#include "tests/fault/shm/process.h"

namespace bitnetd::shm {
namespace {

using namespace test;

// What the consumer did, in memory that outlives it.
struct Handled {
    std::atomic<uint64_t> count;
    std::atomic<uint64_t> wrong;
};

// Consumes for ever, from record number `next` on.
void consume(const Link& link, const Fd& log, uint64_t next) {
    const Segment segment = Link::map(log);
    Handled& handled = *segment.as<Handled>();
    End end(link);
    RingReader reader = end.reader();
    Doorbell bell = end.consumer_bell();
    while (true) {
        const auto count = reader.poll(
            [&](RecordType type, std::span<const std::byte> payload) {
                handled.wrong += !is_numbered(next++, type, payload);
                ++handled.count;
            },
            16);
        if (!count.ok()) _exit(1);
        if (*count > 0) continue;
        bell.prepare_sleep();
        if (!reader.has_records()) {
            pollfd ready{bell.fd(), POLLIN, 0};
            poll(&ready, 1, -1);
        }
        bell.awake();
    }
}

struct Label {
    const char* name;
    // Of the pass'th pass: records handled, and of these how many are still in the ring; -1: not
    // told.
    int64_t (*handled)(uint64_t pass);
    int64_t repeated;
};

void PrintTo(const Label& label, std::ostream* out) {
    *out << label.name;
}

class ConsumerCrash : public testing::TestWithParam<Label> {};

TEST_P(ConsumerCrash, HandledWholeRecordsAndTheNextOneGoesOn) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "crash points are not in a release build";
    const auto [label, expected_handled, repeated] = GetParam();
    for (const uint64_t pass : {1, 2, 3, 50, 777}) {
        SCOPED_TRACE(std::string(label) + ":" + std::to_string(pass));
        const Link link;
        const Fd log = Link::memfd(4096);
        Process consumer([&] {
            crash_at(label, pass);
            consume(link, log, 0);
        });
        End end(link);
        RingWriter writer = end.writer();
        Doorbell bell = end.producer_bell();
        // Paced by the sleeping word so that a label on the way to sleep is passed again and again.
        uint64_t published = 0;
        while (!consumer.gone()) {
            published = publish_numbered(writer, bell, published, published + 1,
                                         [&] { return consumer.gone(); });
            while (published % 4 == 0 && !consumer.gone() && end.sleeping().load() == 0)
                sched_yield();
        }
        EXPECT_TRUE(died_by(consumer.wait(), SIGKILL));
        EXPECT_FALSE(writer.retired()) << "a dead consumer's head is a good head";

        const Segment segment = Link::map(log);
        const Handled& handled = *segment.as<Handled>();
        EXPECT_EQ(handled.wrong.load(), 0u);
        if (expected_handled(pass) >= 0) {
            EXPECT_EQ(handled.count.load(), static_cast<uint64_t>(expected_handled(pass)));
        }
        // A next reader of the same ring (production gives it a new one) meets whole records, the
        // first of them again when the dead one had handled but not released it.
        uint64_t next = handled.count.load() - static_cast<uint64_t>(repeated);
        RingReader reader = end.reader();
        ASSERT_TRUE(reader
                        .drain([&](RecordType type, std::span<const std::byte> payload) {
                            EXPECT_TRUE(is_numbered(next, type, payload)) << next;
                            ++next;
                        })
                        .ok());
        EXPECT_EQ(next, published);
        // And the next incarnation, a process with a ring of its own, is served from there.
        const Link new_link;
        const Fd new_log = Link::memfd(4096);
        Process successor([&] { consume(new_link, new_log, published); });
        End new_end(new_link);
        RingWriter new_writer = new_end.writer();
        Doorbell new_bell = new_end.producer_bell();
        publish_numbered(new_writer, new_bell, published, published + 300,
                         [&] { return successor.gone(); });
        while (new_writer.free_bytes() < kRingCapacityMin && !successor.gone())
            sched_yield();
        EXPECT_FALSE(successor.gone());
        const Segment new_segment = Link::map(new_log);
        EXPECT_EQ(new_segment.as<Handled>()->count.load(), 300u);
        EXPECT_EQ(new_segment.as<Handled>()->wrong.load(), 0u);
    }
}

INSTANTIATE_TEST_SUITE_P(
    EveryLabel, ConsumerCrash,
    testing::Values(
        Label{"ring.taken", [](uint64_t pass) { return static_cast<int64_t>(pass) - 1; }, 0},
        Label{"ring.handled", [](uint64_t pass) { return static_cast<int64_t>(pass); }, 1},
        Label{"ring.released", [](uint64_t pass) { return static_cast<int64_t>(pass); }, 0},
        Label{"doorbell.armed", [](uint64_t) { return int64_t{-1}; }, 0}),
    [](const auto& it) { return test_name(it.param.name); });

}  // namespace
}  // namespace bitnetd::shm
