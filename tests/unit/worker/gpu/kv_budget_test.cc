// Goal: the KV cache gets what the slots need, what the setting says or what is left, and a GPU
// that is too small is refused with its figures and what to change. Method: hand-made rooms and
// demands.
#include "worker/gpu/kv_budget.h"

#include <gtest/gtest.h>

namespace bitnetd::worker {
namespace {

constexpr uint64_t kMiB = 1u << 20;

KvDemand demand() {
    return {.page_bytes = 2 * kMiB,
            .page_tokens = 32,
            .slots_max = 4,
            .context = 100,
            .kv_bytes = 0,
            .workers = 1,
            .weights_bytes = 1000 * kMiB};
}

TEST(KvBudget, GivesTheSlotsWhatTheyNeed) {
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 70'000 * kMiB}, demand()).value(), 4u * 4);
}

TEST(KvBudget, LeavesRoomForARollAndForOtherModels) {
    KvDemand wants_all = demand();
    wants_all.slots_max = 1'000'000;
    // 19/20 of the memory, half of it, less the weights.
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 79'000 * kMiB}, wants_all).value(), 37'000u / 2);
    wants_all.workers = 3;
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 79'000 * kMiB}, wants_all).value(), 18'000u / 2);
}

TEST(KvBudget, TakesNoMoreThanIsFree) {
    KvDemand wants_all = demand();
    wants_all.slots_max = 1'000'000;
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 5'000 * kMiB}, wants_all).value(), 1'000u / 2);
}

TEST(KvBudget, TakesWhatIsSet) {
    KvDemand set = demand();
    set.slots_max = 1'000'000;
    set.kv_bytes = 60'000 * kMiB;
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 79'000 * kMiB}, set).value(), 60'000u / 2);
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 34'000 * kMiB}, set).value(), 30'000u / 2);
}

TEST(KvBudget, SurvivesDemandsBeyondAllBounds) {
    KvDemand huge = demand();
    huge.slots_max = UINT64_MAX / 2;
    EXPECT_EQ(kv_pages_on({80'000 * kMiB, 79'000 * kMiB}, huge).value(), 37'000u / 2);
    huge.weights_bytes = UINT64_MAX;
    EXPECT_FALSE(kv_pages_on({80'000 * kMiB, 79'000 * kMiB}, huge).ok());
}

TEST(KvBudget, SaysWhatIsMissingAndWhatToChange) {
    const auto refused = kv_pages_on({8'000 * kMiB, 300 * kMiB}, demand());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
    for (const char* part : {"2097152", "314572800", "8388608000", "1048576000", "kv.bytes",
                             "worker.step_tokens_max", "kv.type"}) {
        EXPECT_NE(refused.error().message.find(part), std::string::npos)
            << part << ": " << refused.error().message;
    }
}

}  // namespace
}  // namespace bitnetd::worker
