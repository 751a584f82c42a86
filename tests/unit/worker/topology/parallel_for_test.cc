// Goal: parallel_for() does every piece of work once, and an error or exception is that of the
//       lowest piece that fails, on any number of threads.
// Method: counters per piece on pools of one to five threads and without a pool; failures planted
//       at several pieces at once.
#include "worker/topology/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace bitnetd::worker {
namespace {

std::unique_ptr<ThreadPool> pool_of(size_t threads) {
    if (threads == 0) return nullptr;
    auto pool = ThreadPool::create({std::vector<int>(threads, 0), false, 0});
    if (!pool.ok()) throw std::runtime_error(pool.error().message);
    return std::move(pool).value();
}

TEST(ParallelFor, DoesEveryPieceOnce) {
    for (size_t threads = 0; threads <= 5; ++threads) {
        const auto pool = pool_of(threads);
        for (const size_t count : {0, 1, 2, 7, 1000}) {
            std::vector<std::atomic<int>> done(count);
            const auto all = parallel_for(pool.get(), count, [&](size_t index) -> Result<void> {
                done[index].fetch_add(1);
                return {};
            });
            ASSERT_TRUE(all.ok());
            for (const auto& each : done)
                EXPECT_EQ(each.load(), 1) << count << " pieces on " << threads << " threads";
        }
    }
}

TEST(ParallelFor, TheLowestFailureIsTold) {
    for (size_t threads = 0; threads <= 5; ++threads) {
        const auto pool = pool_of(threads);
        for (int repeat = 0; repeat < 50; ++repeat) {
            const auto all = parallel_for(pool.get(), 400, [](size_t index) -> Result<void> {
                if (index % 100 >= 30) return invalid("piece " + std::to_string(index));
                return {};
            });
            ASSERT_FALSE(all.ok());
            EXPECT_EQ(all.error().message, "piece 30") << threads << " threads";
        }
    }
}

TEST(ParallelFor, ExceptionsReachTheCaller) {
    for (size_t threads = 0; threads <= 5; ++threads) {
        const auto pool = pool_of(threads);
        std::atomic<int> after{0};
        const auto run = [&] {
            return parallel_for(pool.get(), 1000, [&](size_t index) -> Result<void> {
                if (index == 5) throw std::runtime_error("five");
                if (index > 5) after.fetch_add(1);
                return {};
            });
        };
        EXPECT_THROW(static_cast<void>(run()), std::runtime_error) << threads << " threads";
        EXPECT_LT(after.load(), 100'000 - 6) << "the rest is given up";
        EXPECT_TRUE(parallel_for(pool.get(), 3, [](size_t) -> Result<void> { return {}; }).ok())
            << "the pool lives on";
    }
}

}  // namespace
}  // namespace bitnetd::worker
