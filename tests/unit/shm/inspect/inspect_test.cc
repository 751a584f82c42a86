// Goal: what bitnet-shmdump shows is what is there, without changing it, and garbage is shown as
// broken instead of being followed. Method: rings and boards on the heap, good and spoiled; address
// sanitizer guards their edges.
#include "shm/inspect/inspect.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "shm/board/board.h"
#include "tests/unit/shm/ring/ring_memory.h"

namespace bitnetd::shm {
namespace {

using test::RingMemory;

TEST(InspectRing, ListsPendingRecordsByType) {
    RingMemory ring;
    RingWriter writer = ring.writer();
    RingReader reader = ring.reader();
    ASSERT_TRUE(writer.try_publish(RecordType::kCancel, bytes_of(CancelRecord{1, 1, 0})));
    ASSERT_TRUE(reader.poll([](RecordType, std::span<const std::byte>) {}, 1).ok());
    TokenRecord token{};
    token.flight = 42;
    token.attempt = 2;
    token.position = 17;
    token.token = 54321;
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, bytes_of(token)));
    SubmitRecord submit{};
    submit.flight = 43;
    submit.id_count = 9;
    ASSERT_TRUE(writer.try_publish(RecordType::kSubmit, bytes_of(submit)));
    ASSERT_TRUE(writer.try_publish(static_cast<RecordType>(77), bytes_of(uint32_t{1})));
    ASSERT_TRUE(writer.try_publish(RecordType::kToken, bytes_of(uint32_t{1})));
    const std::vector<std::byte> before(ring.memory().begin(), ring.memory().end());

    const auto shown = inspect_ring(ring.memory());
    ASSERT_TRUE(shown.ok()) << shown.error().message;
    const auto& it = *shown;
    EXPECT_EQ(it["records"], 4);
    EXPECT_EQ(it["head"], 24);
    EXPECT_EQ(it["consumer_incarnation"], 11);
    EXPECT_EQ(it["producer_incarnation"], 12);
    ASSERT_EQ(it["pending"].size(), 4u);
    EXPECT_EQ(it["pending"][0]["record"], "token");
    EXPECT_EQ(it["pending"][0]["flight"], 42);
    EXPECT_EQ(it["pending"][0]["position"], 17);
    EXPECT_EQ(it["pending"][1]["record"], "submit");
    EXPECT_EQ(it["pending"][1]["ids"], 9);
    EXPECT_EQ(it["pending"][2]["record"], "unknown");
    EXPECT_EQ(it["pending"][2]["type"], 77);
    EXPECT_TRUE(it["pending"][3].contains("broken")) << "a token record of four bytes";
    EXPECT_FALSE(it.contains("broken"));
    EXPECT_EQ(it.dump().find("54321"), std::string::npos) << "token ids are a client's text";
    EXPECT_TRUE(std::equal(before.begin(), before.end(), ring.memory().begin())) << "read only";

    const std::string text = to_text(it, 2);
    EXPECT_NE(text.find("    token bytes=32 flight=42 attempt=2 position=17"), std::string::npos)
        << text;
}

TEST(InspectRing, CountsWhatItDoesNotList) {
    RingMemory ring(65'536);
    RingWriter writer = ring.writer();
    for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(writer.try_publish(RecordType::kCancel, bytes_of(CancelRecord{})));
    }
    const auto shown = inspect_ring(ring.memory());
    ASSERT_TRUE(shown.ok());
    EXPECT_EQ((*shown)["records"], 500);
    EXPECT_EQ((*shown)["pending"].size(), kRecordsShownMax);
}

TEST(InspectRing, ShowsNonsenseAsBroken) {
    std::vector<std::byte> nothing(100);
    EXPECT_FALSE(inspect_ring(nothing).ok());
    RingMemory ring;
    ring.header().tail = 1 << 20;
    EXPECT_TRUE((*inspect_ring(ring.memory())).contains("broken"));
    ring.header().tail = 64;
    const RecordHeader wild{UINT32_MAX, 1, 0};
    std::memcpy(ring.data().data(), &wild, sizeof wild);
    EXPECT_TRUE((*inspect_ring(ring.memory())).contains("broken"));
}

TEST(InspectRing, SurvivesGarbage) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 2'000; ++round) {
        RingMemory ring;
        for (size_t at = 0; at < ring.data().size(); at += 8) {
            const uint64_t word =
                (random() % 64) | (random() % 20) << 32 | (random() % 50 == 0 ? random() : 0);
            std::memcpy(ring.data().data() + at, &word, 8);
        }
        const uint64_t head = (random() % 1024) * 8;
        ring.header().head = head;
        ring.header().tail = head + (random() % 600) * 8;
        const auto shown = inspect_ring(ring.memory());
        ASSERT_TRUE(shown.ok());
        EXPECT_FALSE(to_text(*shown).empty());
    }
}

TEST(InspectBoard, ShowsStateAgesAndWhatIsNotZero) {
    auto fd = create_board({Role::kWorker, 1, 5, "cpu:0"});
    ASSERT_TRUE(fd.ok());
    auto segment = Segment::map(fd->get(), Access::kReadWrite);
    ASSERT_TRUE(segment.ok());
    BoardWriter writer = std::move(BoardWriter::open(*segment)).value();
    writer.set_pid(99);
    writer.heartbeat(1'000'000'000);
    writer.set_state(ProcessState::kReady, 1);
    writer.count(Counter::kSteps, 3);
    writer.record_ns(Histogram::kQueueSeconds, 500'000'000);
    const StepFlight flight[] = {{7, 8}};
    writer.begin_step(flight, 1'200'000'000);
    const auto shown = inspect_board(segment->view(), 1'250'000'000);
    ASSERT_TRUE(shown.ok());
    const auto& it = *shown;
    EXPECT_EQ(it["process"], "worker/1");
    EXPECT_EQ(it["pid"], 99);
    EXPECT_EQ(it["state"], "ready");
    EXPECT_EQ(it["heartbeat_age_ms"], 250);
    EXPECT_TRUE(it["uptime_ms"].is_null()) << "never started";
    EXPECT_EQ(it["worker"]["step_age_ms"], 50);
    EXPECT_EQ(it["worker"]["step_plan"][0]["flight"], 8);
    EXPECT_EQ(it["metrics"]["bitnet_steps_total"], 3);
    EXPECT_EQ(it["metrics"]["bitnet_queue_seconds_sum"], 0.5);
    EXPECT_FALSE(it["metrics"].contains("bitnet_prompt_tokens_total"));
    const std::string text = to_text(it);
    EXPECT_NE(text.find("state             ready"), std::string::npos) << text;
    EXPECT_NE(text.find("frontend_incarnation=7 flight=8"), std::string::npos) << text;
    EXPECT_FALSE(inspect_board(segment->view().first(64), 0).ok());
}

}  // namespace
}  // namespace bitnetd::shm
