// Goal: the way that computes a ternary product is the one that was measured for this table, or the
// table's own choice where nothing (or another table) was measured; every number of rows has one.
// Method: tables of made-up ways and tunings; the demo model measured with the tables of this CPU.
#include "worker/model/ternary_choice.h"

#include <gtest/gtest.h>

#include "shm/control/text_field.h"
#include "tests/support/golden.h"
#include "tests/support/worker/packed_model.h"
#include "worker/kernels/dispatch.h"
#include "worker/kernels/tables.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {
namespace {

using kernels::KernelTable;

template <int>
void way(int32_t, int32_t, int32_t, const int8_t*, const int32_t*, const float*, const uint8_t*,
         float, float*, int64_t) noexcept {}

KernelTable two_ways() {
    KernelTable table = kernels::reference::kTable;
    table.name = "two";
    table.ternary_ways[0] = {"packed", way<0>, 1};
    table.ternary_ways[1] = {"tiles", way<1>, 17};
    return table;
}

shm::TernaryTuning tuning_of(const char* isa, uint32_t second) {
    shm::TernaryTuning tuning{};
    shm::set_field(tuning.kernel_isa, isa);
    tuning.rows_from[0] = 1;
    tuning.rows_from[1] = second;
    return tuning;
}

TEST(TernaryChoice, WithoutAMeasurementTheTableSays) {
    const TernaryChoice choice(two_ways(), {});
    EXPECT_EQ(choice.of(1), &way<0>);
    EXPECT_EQ(choice.of(16), &way<0>);
    EXPECT_EQ(choice.of(17), &way<1>);
    EXPECT_EQ(choice.of(8192), &way<1>);
    EXPECT_EQ(choice.text(), "packed 1, tiles 17");
}

TEST(TernaryChoice, AMeasurementOfThisTableCounts) {
    const TernaryChoice choice(two_ways(), tuning_of("two", 4));
    EXPECT_EQ(choice.of(3), &way<0>);
    EXPECT_EQ(choice.of(4), &way<1>);
    EXPECT_EQ(choice.text(), "packed 1, tiles 4");
}

TEST(TernaryChoice, AMeasurementOfAnotherTableDoesNot) {
    const TernaryChoice choice(two_ways(), tuning_of("another", 2));
    EXPECT_EQ(choice.of(16), &way<0>);
    EXPECT_EQ(choice.of(17), &way<1>);
}

TEST(TernaryChoice, ATableWithOneWayUsesIt) {
    const TernaryChoice choice(kernels::reference::kTable, tuning_of("scalar", 0));
    EXPECT_EQ(choice.of(1), kernels::reference::kTable.ternary_gemm);
    EXPECT_EQ(choice.of(500), kernels::reference::kTable.ternary_gemm);
}

TEST(TernaryChoice, EveryTableIsMeasuredOnARealModel) {
    const test::PackedModel demo(
        {tests::golden_path("demo-model/bitnet-tiny-stories-5m-i2_s.gguf")});
    const auto weights = open_weights(demo.segment());
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    for (const KernelTable* table : kernels::usable_tables()) {
        const shm::TernaryTuning tuning = measure_ternary_ways(*weights, *table);
        if (table->ternary_ways[1].run == nullptr) {
            EXPECT_EQ(shm::field_text(tuning.kernel_isa), "");
            continue;
        }
        EXPECT_EQ(shm::field_text(tuning.kernel_isa), table->name);
        EXPECT_EQ(tuning.rows_from[0], 1u);
        for (int i = 1; i < kernels::kTernaryWaysMax; ++i) {
            const bool is_there = table->ternary_ways[i].run != nullptr;
            EXPECT_EQ(tuning.rows_from[i] > 0, is_there) << table->name << " way " << i;
            EXPECT_LE(tuning.rows_from[i], 65u);
        }
    }
}

}  // namespace
}  // namespace bitnetd::worker
