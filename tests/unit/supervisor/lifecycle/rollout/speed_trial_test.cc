// Goal: a canary's speed is that of its own steps against those of the workers it would replace,
// since the trial began; too few steps say nothing, and who shares its cores does not count.
// Method: boards of workers that do not run, with steps counted on them by hand.
#include "supervisor/lifecycle/rollout/speed_trial.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"

namespace bitnetd::supervisor {
namespace {

constexpr uint64_t kOld = 1;
constexpr uint64_t kOther = 2;
constexpr uint64_t kCanary = 7;

class SpeedTrialTest : public testing::Test {
  protected:
    Slot& add(uint64_t incarnation, uint64_t model_key, const std::string& device = "cpu:0") {
        const auto index = table_.next_index(shm::Role::kWorker);
        Slot& slot =
            table_.add(std::make_unique<Slot>(shm::Role::kWorker, index, RestartLimits{}, 1));
        slot.model_key = model_key;
        slot.device = device;
        slot.process = std::make_unique<Process>();
        slot.process->incarnation = incarnation;
        shm::BoardIdentity identity{};
        identity.role = shm::Role::kWorker;
        identity.incarnation = incarnation;
        identity.device = device;
        auto board = BoardHold::make(identity, nullptr);
        EXPECT_TRUE(board.ok());
        slot.process->board = std::move(*board);
        return slot;
    }
    static void compute(Slot& slot, uint64_t steps, uint64_t cpu_ns, uint64_t wall_ns) {
        shm::BoardWriter& board = *slot.process->board.writer;
        board.count(Counter::kSteps, steps);
        board.count(Counter::kStepCpuNs, steps * cpu_ns);
        board.count(Counter::kStepNs, steps * wall_ns);
    }

    ChildTable table_;
    SpeedTrial trial_;
};

TEST_F(SpeedTrialTest, ComparesProcessorTimeOfStepsOnCpus) {
    Slot& old = add(10, kOld);
    Slot& other = add(11, kOther);
    Slot& canary = add(12, kCanary);
    compute(old, 1000, 1, 1);  // before
    trial_.begin(table_, 12, kOld);
    compute(old, 200, 10 * kNsPerMs, 10 * kNsPerMs);
    compute(other, 200, 1, 1);  // of another model
    compute(canary, 99, 20 * kNsPerMs, 90 * kNsPerMs);
    EXPECT_EQ(trial_.ratio(table_), 0) << "too few steps";
    compute(canary, 1, 20 * kNsPerMs, 90 * kNsPerMs);
    EXPECT_FLOAT_EQ(trial_.ratio(table_), 0.5f);
    old.process.reset();
    EXPECT_EQ(trial_.ratio(table_), 0) << "nobody to compare with";
}

TEST_F(SpeedTrialTest, ComparesTheStepsThemselvesOnGpus) {
    Slot& cpu = add(10, kOld);
    Slot& gpu = add(11, kOld, "cuda:0");
    Slot& canary = add(12, kCanary, "cuda:0");
    trial_.begin(table_, 12, kOld);
    compute(cpu, 200, 1, 1);
    compute(gpu, 200, 10, 5 * kNsPerMs);
    compute(canary, 100, 10, 4 * kNsPerMs);
    EXPECT_EQ(trial_.ratio(table_), 0) << "too short";
    compute(canary, 300, 10, 4 * kNsPerMs);
    EXPECT_FLOAT_EQ(trial_.ratio(table_), 1.25f);
}

}  // namespace
}  // namespace bitnetd::supervisor
