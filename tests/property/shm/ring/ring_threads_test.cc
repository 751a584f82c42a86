// Goal: between two threads no record is lost, repeated, reordered or torn, and no wake-up is lost.
// Method: producers publish millions of records of random size through small rings; the consumer
// checks every byte and sleeps in poll(2) without a timeout whenever its rings are empty. Producers
// wait now and then for the very moments at which a wake-up could be lost: the ring just emptied,
// the consumer just announced its sleep. A lost one hangs: the watchdog says so. Thread sanitizer
// sees all accesses, as both ends use one mapping.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "shm/ring/doorbell.h"
#include "shm/ring/ring_reader.h"
#include "shm/ring/ring_writer.h"
#include "tests/property/shm/seed.h"

namespace bitnetd::shm {
namespace {

void on_alarm(int) {
    constexpr char text[] = "watchdog: the consumer sleeps on a ring with records (lost wake-up)\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    _exit(99);
}

// Spreads a number over all 64 bits; cheap, as it runs several times per record.
uint64_t mixed(uint64_t value) {
    value = (value + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 29)) * 0x94d049bb133111ebu;
    return value ^ (value >> 32);
}

// The size and contents of record `number` of producer `producer`: the consumer computes them
// again.
struct Expected {
    Expected(uint64_t seed, uint64_t producer, uint64_t number, uint64_t payload_max) {
        const uint64_t start = mixed(seed ^ (producer << 56)) + number;
        const uint64_t choice = mixed(start) % 100;
        const uint64_t limit = choice == 0 ? payload_max : choice < 10 ? payload_max / 8 : 96;
        word = mixed(start ^ 1);
        bytes = word % (limit + 1);
        type = static_cast<RecordType>(1 + (word >> 32) % 65'535);
    }
    bool matches(RecordType got_type, std::span<const std::byte> payload) const {
        if (got_type != type || payload.size() != bytes) return false;
        uint64_t expected = word;
        for (size_t at = 0; at < bytes; at += 8, ++expected) {
            if (std::memcmp(payload.data() + at, &expected, std::min<size_t>(8, bytes - at)) != 0) {
                return false;
            }
        }
        return true;
    }
    void write_to(std::vector<std::byte>& out) const {
        out.resize(bytes);
        uint64_t value = word;
        for (size_t at = 0; at < bytes; at += 8, ++value) {
            std::memcpy(out.data() + at, &value, std::min<size_t>(8, bytes - at));
        }
    }
    uint64_t bytes;
    uint64_t word;
    RecordType type;
};

struct Ring {
    explicit Ring(uint64_t capacity_bytes) {
        const Fd fd =
            std::move(Segment::create_memfd("ring", ring_segment_bytes(capacity_bytes))).value();
        segment = std::move(Segment::map(fd.get(), Access::kReadWrite)).value();
        EXPECT_TRUE(init_ring(segment, 1, 2).ok());
        reader.emplace(std::move(RingReader::open(segment)).value());
        writer.emplace(std::move(RingWriter::open(segment)).value());
    }
    Segment segment;
    std::optional<RingReader> reader;
    std::optional<RingWriter> writer;
};

// One record in so many is followed by a wait for a delicate moment.
constexpr uint64_t kLinger = test::kSanitized ? 1'024 : 64;

struct Setup {
    uint64_t seed;
    uint64_t producers;
    uint64_t records;  // per producer
    uint64_t capacity_bytes;
};

// Publishes its records, and lingers at the moments in which wake-ups get lost.
void produce(const Setup& setup, uint64_t producer, Ring& ring, Doorbell bell,
             const std::atomic<uint32_t>& sleeping) {
    std::mt19937_64 random(setup.seed + 1'000 + producer);
    std::vector<std::byte> payload;
    RingWriter& writer = *ring.writer;
    for (uint64_t number = 0; number < setup.records; ++number) {
        const Expected expected(setup.seed, producer, number, writer.max_payload_bytes());
        expected.write_to(payload);
        const size_t split = payload.empty() ? 0 : random() % payload.size();
        const std::span<const std::byte> all(payload);
        while (!writer.try_publish(expected.type, all.first(split), all.subspan(split))) {
            bell.ring_if_sleeping();
            std::this_thread::yield();
        }
        switch (random() % kLinger) {
            case 0:  // the consumer has read everything and is on its way to sleep
                bell.ring_if_sleeping();
                while (writer.free_bytes() != writer.capacity_bytes())
                    std::this_thread::yield();
                break;
            case 1:  // it said that it sleeps
                bell.ring_if_sleeping();
                while (setup.producers == 1 && sleeping.load(std::memory_order_relaxed) == 0) {
                    std::this_thread::yield();
                }
                break;
            default:
                if (random() % 4 == 0) bell.ring_if_sleeping();
        }
    }
    bell.ring_if_sleeping();
}

void run(const Setup& setup) {
    const uint64_t producers = setup.producers;
    std::signal(SIGALRM, on_alarm);
    alarm(240);
    std::vector<std::unique_ptr<Ring>> rings;
    for (uint64_t i = 0; i < producers; ++i) {
        rings.push_back(std::make_unique<Ring>(setup.capacity_bytes));
    }
    alignas(64) std::atomic<uint32_t> sleeping{0};
    Doorbell bell = Doorbell::for_consumer(std::move(Doorbell::create()).value(), sleeping);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < producers; ++i) {
        threads.emplace_back([&, i, fd = dup(bell.fd())] {
            produce(setup, i, *rings[i], Doorbell::for_producer(Fd(fd), sleeping), sleeping);
        });
    }
    std::vector<uint64_t> next(producers, 0);
    uint64_t wrong = 0, left = producers * setup.records, sleeps = 0;
    while (left > 0) {
        size_t taken = 0;
        for (uint64_t i = 0; i < producers; ++i) {
            const auto count = rings[i]->reader->poll(
                [&](RecordType type, std::span<const std::byte> payload) {
                    const Expected expected(setup.seed, i, next[i]++,
                                            ring_payload_max(setup.capacity_bytes));
                    wrong += !expected.matches(type, payload);
                },
                64);
            if (!count.ok()) {
                ADD_FAILURE() << count.error().message;
                _exit(98);  // the producers would wait for ever
            }
            taken += *count;
        }
        left -= taken;
        if (taken > 0 || left == 0) continue;
        bell.prepare_sleep();
        bool waiting = false;
        for (const auto& ring : rings)
            waiting |= ring->reader->has_records();
        if (!waiting) {
            pollfd ready{bell.fd(), POLLIN, 0};
            ++sleeps;
            poll(&ready, 1, -1);
        }
        bell.awake();
    }
    for (std::thread& thread : threads)
        thread.join();
    alarm(0);
    EXPECT_EQ(wrong, 0u) << "records with another type, size or content";
    EXPECT_GT(sleeps, 100u) << "the doorbell was hardly used";
    for (const auto& ring : rings) {
        EXPECT_FALSE(ring->reader->has_records());
        EXPECT_FALSE(ring->writer->retired());
    }
    std::printf("%llu records, %llu sleeps\n",
                static_cast<unsigned long long>(producers * setup.records),
                static_cast<unsigned long long>(sleeps));
}

TEST(RingThreads, MillionsOfRecordsThroughASmallRing) {
    run({test::choose_seed(), 1, 2'000'000, 16 * 1024});
}

TEST(RingThreads, TheSmallestRing) {
    run({test::choose_seed(), 1, 500'000, kRingCapacityMin});
}

TEST(RingThreads, SeveralRingsShareOneDoorbell) {
    run({test::choose_seed(), 3, 200'000, 16 * 1024});
}

}  // namespace
}  // namespace bitnetd::shm
