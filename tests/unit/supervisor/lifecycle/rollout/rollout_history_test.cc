// Goal: what was rolled out is known after a restart, whatever a kill left of the file, and the
// file does not grow for ever. Method: histories opened one after the other on one folder, and
// lines written into it by hand.
#include "supervisor/lifecycle/rollout/rollout_history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "shm/control/text_field.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

class RolloutHistoryTest : public testing::Test {
  protected:
    std::string file() const { return folder_.path() + "/rollouts.jsonl"; }
    std::string text() const {
        std::ifstream in(file());
        return {std::istreambuf_iterator<char>(in), {}};
    }
    RolloutHistory opened() const {
        RolloutHistory history;
        const auto opened = history.open(folder_.path());
        EXPECT_TRUE(opened.ok()) << opened.error().message;
        return history;
    }

    TemporaryFolder folder_;
};

RolloutRecord swap(uint64_t number) {
    RolloutRecord record;
    record.message.number = number;
    record.message.kind = shm::RolloutKind::kSwap;
    record.message.phase = shm::RolloutPhase::kDone;
    record.message.outcome = shm::RolloutOutcome::kCompleted;
    shm::set_field(record.message.model, "demo");
    record.old_path = "/models/" + std::to_string(number);
    return record;
}

std::vector<uint64_t> numbers(const RolloutHistory& history) {
    std::vector<uint64_t> found;
    for (const RolloutRecord& record : history.records())
        found.push_back(record.message.number);
    return found;
}

TEST_F(RolloutHistoryTest, IsKnownAfterARestart) {
    for (uint64_t number = 1; number <= 3; ++number)
        opened().add(swap(number));
    const RolloutHistory history = opened();
    EXPECT_EQ(numbers(history), (std::vector<uint64_t>{3, 2, 1}));
    EXPECT_EQ(history.last_number(), 3u);
    ASSERT_NE(history.last_replacement("demo"), nullptr);
    EXPECT_EQ(history.last_replacement("demo")->old_path, "/models/3");
}

// The last values of the enums too.
TEST_F(RolloutHistoryTest, EveryKindPhaseAndOutcomeIsReadBack) {
    uint64_t number = 0;
    for (uint32_t kind = 1; kind <= static_cast<uint32_t>(shm::kLastRolloutKind); ++kind) {
        RolloutRecord record = swap(++number);
        record.message.kind = static_cast<shm::RolloutKind>(kind);
        opened().add(record);
    }
    for (uint32_t phase = 1; phase <= static_cast<uint32_t>(shm::kLastRolloutPhase); ++phase) {
        RolloutRecord record = swap(++number);
        record.message.phase = static_cast<shm::RolloutPhase>(phase);
        record.message.outcome = shm::kLastRolloutOutcome;
        opened().add(record);
    }
    EXPECT_EQ(opened().records().size(), number);
    EXPECT_EQ(opened().records().front().message.outcome, shm::RolloutOutcome::kRolledBack);
}

TEST_F(RolloutHistoryTest, LineThatWasCutOffCostsItselfAlone) {
    opened().add(swap(1));
    opened().add(swap(2));
    std::filesystem::resize_file(file(), text().size() - 20);
    opened().add(swap(3));
    EXPECT_EQ(numbers(opened()), (std::vector<uint64_t>{3, 1}));
}

TEST_F(RolloutHistoryTest, FileIsShortenedToWhatIsKept) {
    {
        RolloutHistory history = opened();
        for (uint64_t number = 1; number <= kHistoryMax + 10; ++number)
            history.add(swap(number));
    }
    const RolloutHistory history = opened();
    EXPECT_EQ(history.records().size(), kHistoryMax);
    const std::string kept = text();
    EXPECT_EQ(std::count(kept.begin(), kept.end(), '\n'), std::ptrdiff_t{kHistoryMax});
    EXPECT_EQ(numbers(opened()), numbers(history));
    EXPECT_EQ(opened().last_number(), kHistoryMax + 10);
}

}  // namespace
}  // namespace bitnetd::supervisor
