// Goal: a child knows a silent supervisor from a paused machine. Method: a board that the test
// writes, and a clock that it sets.
#include "shm/board/supervisor_watch.h"

#include <gtest/gtest.h>

namespace bitnetd::shm {
namespace {

constexpr uint64_t kTimeout = 1000;

struct Supervisor {
    Supervisor() {
        auto made = create_board({Role::kSupervisor, 0, 1, ""});
        EXPECT_TRUE(made.ok());
        fd = std::move(*made);
        auto mapped = Segment::map(fd.get(), Access::kReadWrite);
        EXPECT_TRUE(mapped.ok());
        segment = std::move(*mapped);
        auto opened = BoardWriter::open(segment);
        EXPECT_TRUE(opened.ok());
        board.emplace(std::move(*opened));
    }
    Fd fd;
    Segment segment;
    std::optional<BoardWriter> board;
};

TEST(SupervisorWatch, SilenceBeyondTheTimeOutCounts) {
    Supervisor supervisor;
    SupervisorWatch watch(kTimeout);
    EXPECT_FALSE(watch.is_gone(5));  // there is no board yet
    ASSERT_TRUE(watch.watch(supervisor.fd.get()).ok());
    uint64_t now = 10'000;
    for (; now < 20'000; now += 100) {
        supervisor.board->heartbeat(now);
        EXPECT_FALSE(watch.is_gone(now));
    }
    const uint64_t last = now - 100;
    for (; now <= last + kTimeout; now += 100)
        EXPECT_FALSE(watch.is_gone(now));
    EXPECT_TRUE(watch.is_gone(now));
    supervisor.board->heartbeat(now);  // a successor
    EXPECT_FALSE(watch.is_gone(now + 100));
}

TEST(SupervisorWatch, OwnPauseIsNotHeldAgainstIt) {
    Supervisor supervisor;
    SupervisorWatch watch(kTimeout);
    ASSERT_TRUE(watch.watch(supervisor.fd.get()).ok());
    supervisor.board->heartbeat(100);
    EXPECT_FALSE(watch.is_gone(100));
    uint64_t now = 1'000'000;  // both were stopped
    EXPECT_FALSE(watch.is_gone(now));
    for (; now <= 1'000'000 + kTimeout; now += 100)
        EXPECT_FALSE(watch.is_gone(now));
    EXPECT_TRUE(watch.is_gone(now));
}

TEST(SupervisorWatch, AnotherProcessesBoardIsRefused) {
    auto board = create_board({Role::kWorker, 0, 2, "cpu:0"});
    ASSERT_TRUE(board.ok());
    SupervisorWatch watch(kTimeout);
    EXPECT_FALSE(watch.watch(board->get()).ok());
}

}  // namespace
}  // namespace bitnetd::shm
