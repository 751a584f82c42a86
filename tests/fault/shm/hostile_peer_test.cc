// Goal: a peer process that scribbles over the ring while it is used cannot make this process read
// or write out of bounds: it gets errors or plain values. Method: a real process writes random
// words all over the shared memory, nearly right ones among them, as fast as it can; this one
// polls, publishes, drains and inspects. Run under address sanitizer as well; the unit tests do the
// same on the heap, where every byte too far is seen.
#include <random>

#include "shm/inspect/inspect.h"
#include "tests/fault/shm/process.h"

namespace bitnetd::shm {
namespace {

using namespace test;

void scribble(const Link& link, uint64_t seed) {
    const Segment segment = Link::map(link.ring);
    auto* const words = segment.as<std::atomic<uint64_t>>();
    const size_t count = (sizeof(RingHeader) + kRingCapacityMin) / 8;
    auto& header = *segment.as<RingHeader>();
    std::mt19937_64 random(seed);
    while (true) {
        const uint64_t choice = random() % 16;
        uint64_t value = random();
        if (choice < 12) value = (random() % 128) | (random() % 3) << 32;  // a likely record header
        words[random() % count].store(value, std::memory_order_relaxed);
        // Keep the identity good most of the time, so that the other side opens it again.
        header.abi_version.store(choice == 0 ? 9 : kRingAbiVersion, std::memory_order_relaxed);
        words[0].store(kRingAbiVersion | uint64_t{sizeof(RingHeader)} << 32,
                       std::memory_order_relaxed);
        words[3].store(choice == 1 ? value : kRingCapacityMin, std::memory_order_relaxed);
        if (choice < 6) {
            const uint64_t head = (random() % 512) * 8;
            header.head.store(head, std::memory_order_relaxed);
            header.tail.store(head + (random() % 520) * 8, std::memory_order_relaxed);
        }
    }
}

TEST(HostilePeer, ScribblingWhileTheRingIsUsedIsSurvived) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    const Link link;
    Process hostile([&] { scribble(link, seed); });
    End end(link);
    uint64_t opened = 0, delivered = 0, errors = 0, bytes = 0;
    const auto take = [&](RecordType, std::span<const std::byte> payload) {
        ++delivered;
        for (const std::byte it : payload)
            bytes += static_cast<uint64_t>(it);
    };
    // Until enough of everything was met; the test's timeout is the watchdog.
    while (opened < 20'000 || delivered < 2'000 || errors < 1'000) {
        auto reader = RingReader::open(end.ring);
        auto writer = RingWriter::open(end.ring);
        if (reader.ok()) {
            ++opened;
            for (int i = 0; i < 4; ++i)
                errors += !reader->poll(take, 100).ok();
            errors += !reader->drain(take).ok();
        }
        if (writer.ok()) {
            const std::vector<std::byte> payload(opened % writer->max_payload_bytes());
            for (int i = 0; i < 4; ++i)
                static_cast<void>(writer->try_publish(RecordType::kToken, payload));
        }
        if (opened % 64 == 0) static_cast<void>(inspect_ring(end.ring.view()));
    }
    EXPECT_FALSE(hostile.gone());
    std::printf("opened %llu, delivered %llu records (sum %llu), %llu errors\n",
                static_cast<unsigned long long>(opened), static_cast<unsigned long long>(delivered),
                static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(errors));
}

}  // namespace
}  // namespace bitnetd::shm
