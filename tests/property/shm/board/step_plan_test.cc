// Goal: a step plan that is read while the worker goes from step to step is that of one step, never
// a mixture: a flight must not be blamed for a step it was not in. Method: one thread writes plans
// whose every entry names the step; another reads and compares.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "shm/board/board.h"
#include "tests/property/shm/seed.h"

namespace bitnetd::shm {
namespace {

TEST(StepPlan, IsNeverAMixtureOfTwoSteps) {
    const Fd fd = std::move(create_board({Role::kWorker, 0, 1, ""})).value();
    Segment segment = std::move(Segment::map(fd.get(), Access::kReadWrite)).value();
    BoardWriter writer = std::move(BoardWriter::open(segment)).value();
    const BoardView view = std::move(BoardView::open(segment)).value();
    const uint64_t wanted = test::kSanitized ? 2'000 : 10'000;
    std::atomic<uint64_t> plans{0};
    std::thread worker([&] {
        std::vector<StepFlight> flights;
        for (uint64_t step = 1; plans.load(std::memory_order_relaxed) < wanted; ++step) {
            flights.assign(1 + step % 7, StepFlight{step, step});
            writer.begin_step(flights, step);
            if (step % 16 == 0) std::this_thread::yield();
            writer.end_step();
        }
    });
    uint64_t mixed = 0, last_step = 0;
    while (plans.load(std::memory_order_relaxed) < wanted) {
        const auto plan = view.step_plan();
        if (!plan || plan->empty()) continue;
        const uint64_t step = plan->front().flight;
        if (step != last_step) plans.fetch_add(1, std::memory_order_relaxed);
        last_step = step;
        mixed += plan->size() != 1 + step % 7;
        for (const StepFlight& it : *plan) {
            mixed += it.flight != step || it.frontend_incarnation != step;
        }
    }
    worker.join();
    EXPECT_EQ(mixed, 0u);
}

}  // namespace
}  // namespace bitnetd::shm
