// Goal: after a death the board tells the truth: whom to blame, what was counted, what the last
// words were. Method: real processes that die at the labels of a step, by a failed check, and by
// SIGKILL from outside; the survivor reads their boards through a read-only descriptor.
#include "common/base/check.h"
#include "shm/board/board.h"
#include "tests/fault/shm/process.h"

namespace bitnetd::shm {
namespace {

using namespace test;

struct TestBoard {
    TestBoard()
        : fd(std::move(create_board({Role::kWorker, 0, 5, "cpu:0"})).value()),
          segment(std::move(Segment::map(std::move(reopen_read_only(fd.get())).value().get(),
                                         Access::kRead))
                      .value()),
          view(std::move(BoardView::open(segment)).value()) {}
    Fd fd;
    Segment segment;
    BoardView view;
};

constexpr StepFlight kFirstStep[] = {{1, 10}};
constexpr StepFlight kSecondStep[] = {{1, 20}, {2, 21}};

// One whole step with kFirstStep, then kSecondStep is begun.
void work(const TestBoard& board) {
    Segment segment = Link::map(board.fd);
    BoardWriter writer = std::move(BoardWriter::open(segment)).value();
    writer.begin_step(kFirstStep, 1);
    writer.end_step();
    writer.count(Counter::kSteps);
    writer.begin_step(kSecondStep, 2);
}

TEST(BoardCrash, BeforeTheStepBeginsNobodyIsBlamed) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "crash points are not in a release build";
    const TestBoard board;
    Process process([&] {
        crash_at("board.planned", 2);
        work(board);
    });
    EXPECT_TRUE(died_by(process.wait(), SIGKILL));
    ASSERT_TRUE(board.view.step_plan().has_value());
    EXPECT_TRUE(board.view.step_plan()->empty());
    EXPECT_EQ(board.view.counter(Counter::kSteps), 1u);
}

TEST(BoardCrash, InAStepItsFlightsAreBlamedAndNoOthers) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "crash points are not in a release build";
    const TestBoard board;
    Process process([&] {
        crash_at("board.begun", 2);
        work(board);
    });
    EXPECT_TRUE(died_by(process.wait(), SIGKILL));
    const auto plan = board.view.step_plan();
    ASSERT_TRUE(plan.has_value());
    ASSERT_EQ(plan->size(), 2u);
    EXPECT_EQ((*plan)[0].flight, 20u);
    EXPECT_EQ((*plan)[1].frontend_incarnation, 2u);
}

TEST(BoardCrash, AFailedCheckLeavesItsWords) {
    const TestBoard board;
    Process process([&] {
        Segment segment = Link::map(board.fd);
        BoardWriter writer = std::move(BoardWriter::open(segment)).value();
        writer.use_for_last_words();
        const int answer = getpid() > 0 ? 41 : 42;
        BITNETD_CHECK(answer == 42);
    });
    EXPECT_TRUE(died_by(process.wait(), SIGABRT));
    EXPECT_NE(board.view.last_words().find("answer == 42"), std::string::npos)
        << board.view.last_words();
}

TEST(BoardCrash, CountersOutliveTheirProcessAndGoOn) {
    const TestBoard board;
    Process process([&] {
        Segment segment = Link::map(board.fd);
        BoardWriter writer = std::move(BoardWriter::open(segment)).value();
        for (uint64_t i = 1; true; ++i)
            writer.count(Counter::kDecodeTokens);
    });
    while (board.view.counter(Counter::kDecodeTokens) < 1'000)
        sched_yield();
    process.kill(SIGKILL);
    process.wait();
    const uint64_t at_death = board.view.counter(Counter::kDecodeTokens);
    TestBoard next;
    Segment segment = Link::map(next.fd);
    BoardWriter writer = std::move(BoardWriter::open(segment)).value();
    carry_over(board.view, writer);
    EXPECT_EQ(next.view.counter(Counter::kDecodeTokens), at_death);
}

}  // namespace
}  // namespace bitnetd::shm
