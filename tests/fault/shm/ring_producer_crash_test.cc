// Goal: a producer that dies at any CRASH label, or anywhere at all, leaves whole records up to a
// point and nothing of the rest; the consumer notices, reads them all, and a new incarnation goes
// on. Method: a real producer process is killed at each label, at several passes of it; the
// surviving consumer compares the number of records with what the label promises.
#include "tests/fault/shm/process.h"

#include <random>

namespace bitnetd::shm {
namespace {

using namespace test;

constexpr uint64_t kLast = 1'000'000;  // far more than any pass needs

// Reads until the producer is gone and its ring is empty, as a worker or frontend does: fenced and
// drained once at the end. Returns the next number expected.
uint64_t consume_until_gone(End& end, Process& producer, uint64_t next, uint64_t pause_at) {
    RingReader reader = end.reader();
    Doorbell bell = end.consumer_bell();
    const auto check = [&](RecordType type, std::span<const std::byte> payload) {
        EXPECT_TRUE(is_numbered(next, type, payload)) << "record " << next;
        ++next;
    };
    bool alive = true;
    while (alive && next < pause_at) {
        const auto count = reader.poll(check, 16);
        if (!count.ok()) {
            ADD_FAILURE() << count.error().message;
            return next;
        }
        if (*count > 0) continue;
        bell.prepare_sleep();
        if (!reader.has_records()) alive = sleep_until_rung(bell, producer);
        bell.awake();
    }
    if (alive) producer.kill(SIGKILL);
    EXPECT_TRUE(died_by(producer.wait(), SIGKILL));
    EXPECT_TRUE(reader.drain(check).ok());
    EXPECT_FALSE(reader.has_records());
    return next;
}

// A producer that goes on where the records ended. `fresh` as in production: rings of its own.
void expect_next_incarnation(const Link& link, uint64_t from, bool fresh) {
    const Link new_link;
    const Link& used = fresh ? new_link : link;
    Process producer([&] {
        End end(used);
        RingWriter writer = end.writer();
        Doorbell bell = end.producer_bell();
        publish_numbered(writer, bell, from, from + 500, [] { return false; });
        kill(getpid(), SIGKILL);
    });
    End end(used);
    EXPECT_EQ(consume_until_gone(end, producer, from, kLast), from + 500);
}

struct Label {
    const char* name;
    // Records that are real when it dies at the pass'th pass; -1 where the label does not tell.
    int64_t (*published)(uint64_t pass);
};

void PrintTo(const Label& label, std::ostream* out) {
    *out << label.name;
}

class ProducerCrash : public testing::TestWithParam<Label> {};

TEST_P(ProducerCrash, LeavesAPrefixOfWholeRecords) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "crash points are not in a release build";
    const auto [label, published] = GetParam();
    for (const uint64_t pass : {1, 2, 3, 50, 777}) {
        SCOPED_TRACE(std::string(label) + ":" + std::to_string(pass));
        const Link link;
        Process producer([&] {
            crash_at(label, pass);
            End end(link);
            RingWriter writer = end.writer();
            Doorbell bell = end.producer_bell();
            publish_numbered(writer, bell, 0, kLast, [] { return false; });
        });
        End end(link);
        const uint64_t next = consume_until_gone(end, producer, 0, kLast);
        if (const int64_t expected = published(pass); expected >= 0) {
            EXPECT_EQ(next, static_cast<uint64_t>(expected));
        }
        expect_next_incarnation(link, next, /*fresh=*/true);
        expect_next_incarnation(link, next, /*fresh=*/false);
    }
}

INSTANTIATE_TEST_SUITE_P(
    EveryLabel, ProducerCrash,
    testing::Values(
        Label{"ring.padded", [](uint64_t) { return int64_t{-1}; }},
        Label{"ring.half", [](uint64_t pass) { return static_cast<int64_t>(pass) - 1; }},
        Label{"ring.copied", [](uint64_t pass) { return static_cast<int64_t>(pass) - 1; }},
        Label{"ring.published", [](uint64_t pass) { return static_cast<int64_t>(pass); }},
        // The consumer sleeps, the record is there, nobody rings: the death itself must wake it.
        Label{"doorbell.unrung", [](uint64_t) { return int64_t{-1}; }}),
    [](const auto& it) { return test_name(it.param.name); });

TEST(ProducerKill, AnywhereLeavesAPrefixOfWholeRecords) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 60; ++round) {
        const Link link;
        Process producer([&] {
            End end(link);
            RingWriter writer = end.writer();
            Doorbell bell = end.producer_bell();
            publish_numbered(writer, bell, 0, UINT64_MAX, [] { return false; });
        });
        End end(link);
        const uint64_t pause_at = random() % 2'000;
        const uint64_t next = consume_until_gone(end, producer, 0, pause_at);
        EXPECT_GE(next, pause_at);
        expect_next_incarnation(link, next, /*fresh=*/false);
    }
}

// mechanics.md calls it fencing: a producer that was given up may be stopped, not dead, and go on
// later.
TEST(ProducerStop, ADrainOfAStoppedProducerEndsAndALateOneDoesNoHarm) {
    const Link link;
    Process producer([&] {
        End end(link);
        RingWriter writer = end.writer();
        Doorbell bell = end.producer_bell();
        publish_numbered(writer, bell, 0, UINT64_MAX, [] { return false; });
    });
    uint64_t next = 0;
    {
        End end(link);
        RingReader reader = end.reader();
        Doorbell bell = end.consumer_bell();
        const auto check = [&](RecordType type, std::span<const std::byte> payload) {
            EXPECT_TRUE(is_numbered(next++, type, payload));
        };
        while (next < 100) {
            bell.prepare_sleep();
            if (!reader.has_records()) sleep_until_rung(bell, producer);
            bell.awake();
            ASSERT_TRUE(reader.poll(check, 100).ok());
        }
        producer.kill(SIGSTOP);
        EXPECT_TRUE(reader.drain(check).ok());
    }  // unmapped: whatever it publishes now, nobody sees
    producer.kill(SIGCONT);
    expect_next_incarnation(link, next, /*fresh=*/true);
    EXPECT_FALSE(producer.gone()) << "it runs on, into its old ring";
}

}  // namespace
}  // namespace bitnetd::shm
