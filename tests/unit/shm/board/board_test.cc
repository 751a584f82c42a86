// Goal: what a process writes on its board is what others read, a foreign or spoiled board is
// refused or read as bounded values, and counters outlive their process. Method: writer and view
// over the same memory on the heap; hostile values written straight into it.
#include "shm/board/board.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "common/base/check.h"
#include "common/base/clock.h"

namespace bitnetd::shm {
namespace {

class BoardMemory {
  public:
    explicit BoardMemory(BoardIdentity identity = {Role::kWorker, 2, 77, "cpu:0"})
        : data_(static_cast<std::byte*>(std::aligned_alloc(64, sizeof(Board)))) {
        std::fill_n(data_.get(), sizeof(Board), std::byte{0});
        BITNETD_CHECK(init_board(memory(), identity).ok());
    }
    std::span<std::byte> memory() { return {data_.get(), sizeof(Board)}; }
    Board& raw() { return *reinterpret_cast<Board*>(data_.get()); }
    BoardWriter writer() { return std::move(BoardWriter::open(memory())).value(); }
    BoardView view() { return std::move(BoardView::open(memory())).value(); }

  private:
    struct Free {
        void operator()(std::byte* memory) const { std::free(memory); }
    };
    std::unique_ptr<std::byte, Free> data_;
};

TEST(Board, CreatedSealedAndReadableByOthers) {
    auto fd = create_board({Role::kFrontend, 1, 42, ""});
    ASSERT_TRUE(fd.ok()) << fd.error().message;
    EXPECT_TRUE(check_size_sealed(fd->get()).ok());
    auto read_only = reopen_read_only(fd->get());
    ASSERT_TRUE(read_only.ok());
    auto mine = Segment::map(fd->get(), Access::kReadWrite);
    auto theirs = Segment::map(read_only->get(), Access::kRead);
    ASSERT_TRUE(mine.ok() && theirs.ok());
    auto writer = BoardWriter::open(*mine);
    const auto view = BoardView::open(*theirs);
    ASSERT_TRUE(writer.ok() && view.ok());
    EXPECT_EQ(view->role(), Role::kFrontend);
    EXPECT_EQ(view->slot(), 1u);
    EXPECT_EQ(view->incarnation(), 42u);
    EXPECT_EQ(view->device(), "");
    EXPECT_EQ(view->state(), ProcessState::kStarting);
    writer->count(Counter::kPromptTokens, 5);
    EXPECT_EQ(view->counter(Counter::kPromptTokens), 5u);
}

TEST(Board, RefusesBadIdentitiesAndSmallMemory) {
    std::vector<std::byte> small(sizeof(Board) - 1);
    EXPECT_FALSE(init_board(small, {Role::kWorker, 0, 1, ""}).ok());
    EXPECT_FALSE(create_board({static_cast<Role>(9), 0, 1, ""}).ok());
    EXPECT_FALSE(create_board({static_cast<Role>(0), 0, 1, ""}).ok());
    EXPECT_FALSE(create_board({Role::kWorker, 0, 1, "a device name that is too long"}).ok());
    EXPECT_TRUE(create_board({Role::kWorker, 0, 1, "fifteen-letters"}).ok());
    BoardMemory board;
    EXPECT_FALSE(BoardView::open(board.memory().first(sizeof(Board) - 1)).ok());
    EXPECT_FALSE(BoardView::open(std::span<const std::byte>()).ok());
    EXPECT_FALSE(BoardWriter::open(board.memory().first(100)).ok());
    board.raw().abi_version = 0;
    EXPECT_FALSE(BoardView::open(board.memory()).ok()) << "under construction";
    board.raw().abi_version = kBoardAbiVersion + 1;
    EXPECT_FALSE(BoardView::open(board.memory()).ok());
    EXPECT_FALSE(BoardWriter::open(board.memory()).ok());
}

TEST(Board, LifeOfAProcess) {
    BoardMemory board;
    BoardWriter writer = board.writer();
    const BoardView view = board.view();
    EXPECT_EQ(view.device(), "cpu:0");
    writer.set_pid(1234);
    writer.set_started(10);
    writer.heartbeat(20);
    EXPECT_EQ(view.ready_ns(), 0u);
    writer.set_state(ProcessState::kReady, 30);
    writer.set_state(ProcessState::kDraining, 40);
    writer.set_state(ProcessState::kReady, 50);
    EXPECT_EQ(view.pid(), 1234u);
    EXPECT_EQ(view.started_ns(), 10u);
    EXPECT_EQ(view.heartbeat_ns(), 20u);
    EXPECT_EQ(view.ready_ns(), 30u) << "the first time only";
    EXPECT_EQ(view.state(), ProcessState::kReady);
    writer.set_worker_limits(8, 2048, 16);
    writer.set_slots_used(3);
    writer.set_worker_rates(1'000'000, 50'000);
    const WorkerSnapshot worker = view.worker();
    EXPECT_EQ(worker.slots_max, 8u);
    EXPECT_EQ(worker.context_max, 2048u);
    EXPECT_EQ(worker.page_tokens, 16u);
    EXPECT_EQ(worker.slots_used, 3u);
    EXPECT_EQ(worker.decode_ns, 1'000'000u);
    EXPECT_EQ(worker.prefill_token_ns, 50'000u);
}

TEST(Board, MetricsOfEveryKind) {
    BoardMemory board;
    BoardWriter writer = board.writer();
    const BoardView view = board.view();
    writer.count(Counter::kSteps);
    writer.count(Counter::kSteps);
    writer.count(Counter::kWorkerDeaths, 3);  // the last row of the table
    writer.set_gauge(Gauge::kWaitingSequences, 9);
    writer.set_gauge(Gauge::kWaitingSequences, 4);
    writer.record_ns(Histogram::kEndToEndSeconds, 0);
    writer.record_ns(Histogram::kEndToEndSeconds, 100'000);
    writer.record_ns(Histogram::kEndToEndSeconds, 100'001);
    writer.record_ns(Histogram::kEndToEndSeconds, UINT64_MAX - 500'000);
    EXPECT_EQ(view.counter(Counter::kSteps), 2u);
    EXPECT_EQ(view.counter(Counter::kWorkerDeaths), 3u);
    EXPECT_EQ(view.counter(Counter::kFrontendDeaths), 0u);
    EXPECT_EQ(view.gauge(Gauge::kWaitingSequences), 4u);
    const HistogramSnapshot histogram = view.histogram(Histogram::kEndToEndSeconds);
    EXPECT_EQ(histogram.count, 4u);
    EXPECT_EQ(histogram.buckets[0], 2u);
    EXPECT_EQ(histogram.buckets[1], 1u);
    EXPECT_EQ(histogram.buckets[kHistogramBuckets - 1], 1u);
    EXPECT_EQ(view.histogram(Histogram::kQueueSeconds).count, 0u);
}

TEST(Board, StepPlanIsThatOfTheStepInProgress) {
    BoardMemory board;
    BoardWriter writer = board.writer();
    const BoardView view = board.view();
    EXPECT_TRUE(view.step_plan()->empty());
    const StepFlight flights[] = {{5, 100}, {5, 101}, {6, 7}};
    writer.begin_step(flights, 1'000);
    auto plan = view.step_plan();
    ASSERT_TRUE(plan && plan->size() == 3);
    EXPECT_EQ((*plan)[1].flight, 101u);
    EXPECT_EQ((*plan)[2].frontend_incarnation, 6u);
    EXPECT_EQ(view.worker().steps_begun, 1u);
    EXPECT_EQ(view.worker().step_begun_ns, 1'000u);
    writer.end_step();
    EXPECT_TRUE(view.step_plan()->empty());
    EXPECT_EQ(view.worker().step_begun_ns, 0u);
    writer.begin_step(std::span(flights).first(1), 2'000);
    EXPECT_EQ(view.step_plan()->size(), 1u);
    EXPECT_EQ(view.worker().steps_begun, 2u);
    const std::vector<StepFlight> many(kStepPlanMax + 10, StepFlight{1, 2});
    writer.begin_step(many, 3'000);
    EXPECT_EQ(view.step_plan()->size(), kStepPlanMax);
}

TEST(Board, HostileValuesReadAsBoundedOnes) {
    BoardMemory board;
    board.raw().state = static_cast<ProcessState>(UINT32_MAX);
    std::memset(board.raw().last_words, '\x1b', sizeof board.raw().last_words);
    std::memset(board.raw().device, 'x', sizeof board.raw().device);
    board.raw().worker.step_plan_count = UINT32_MAX;
    board.raw().worker.step_begun_ns = 1;
    const BoardView view = board.view();
    EXPECT_EQ(view.state(), ProcessState::kDead);
    EXPECT_EQ(view.last_words(), std::string(kLastWordsBytes, '?'))
        << "no terminal escapes, no NUL";
    EXPECT_EQ(view.device().size(), sizeof(Board::device));
    EXPECT_EQ(view.step_plan()->size(), kStepPlanMax);
    const uint32_t role = 99;
    std::memcpy(&board.raw().role, &role, sizeof role);
    EXPECT_FALSE(BoardView::open(board.memory()).ok());
}

TEST(Board, LastWordsOfAFailedCheck) {
    BoardMemory board;
    BoardWriter writer = board.writer();
    writer.use_for_last_words();
    say_last_words("check failed: x > 0 at y.cc:3\n");
    set_last_words(nullptr, 0);
    EXPECT_EQ(board.view().last_words(), "check failed: x > 0 at y.cc:3");
}

TEST(Board, CarryOverContinuesCountersAndHistogramsOnly) {
    BoardMemory old_board, fresh_board;
    BoardWriter old = old_board.writer();
    old.count(Counter::kGeneratedTokens, 1'000);
    old.set_gauge(Gauge::kKvPagesUsed, 5);
    old.record_ns(Histogram::kFirstTokenSeconds, 250'000);
    BoardWriter fresh = fresh_board.writer();
    fresh.count(Counter::kGeneratedTokens, 1);
    carry_over(old_board.view(), fresh);
    const BoardView view = fresh_board.view();
    EXPECT_EQ(view.counter(Counter::kGeneratedTokens), 1'001u);
    EXPECT_EQ(view.gauge(Gauge::kKvPagesUsed), 0u);
    EXPECT_EQ(view.histogram(Histogram::kFirstTokenSeconds).count, 1u);
    EXPECT_EQ(view.histogram(Histogram::kFirstTokenSeconds).sum_ns, 250'000u);
    EXPECT_EQ(view.state(), ProcessState::kStarting);
}

TEST(Board, ShowsWhatItsProcessUsesOnceASecond) {
    BoardMemory memory;
    auto writer = memory.writer();
    const auto view = memory.view();
    writer.heartbeat(kNsPerS);
    EXPECT_EQ(view.gauge(Gauge::kResidentBytes), 0u);

    auto usage = ProcessUsage::open();
    ASSERT_TRUE(usage.ok()) << usage.error().message;
    writer.show_usage(std::move(*usage));
    writer.heartbeat(2 * kNsPerS);
    const uint64_t cpu_ns = view.counter(Counter::kCpuNs);
    EXPECT_GT(cpu_ns, 0u);
    EXPECT_GT(view.gauge(Gauge::kResidentBytes), sizeof(Board));
    EXPECT_EQ(view.gauge(Gauge::kResidentBytes) % 4096, 0u);

    const uint64_t begun_ns = ProcessUsage::cpu_ns();
    while (ProcessUsage::cpu_ns() == begun_ns) {  // works
    }
    writer.heartbeat(3 * kNsPerS - 1);
    EXPECT_EQ(view.counter(Counter::kCpuNs), cpu_ns);
    writer.heartbeat(3 * kNsPerS);
    EXPECT_GT(view.counter(Counter::kCpuNs), cpu_ns);
}

}  // namespace
}  // namespace bitnetd::shm
