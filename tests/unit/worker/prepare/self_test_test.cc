// Goal: the self-test passes good models on every pair of tables, and finds a table that computes
// something else and weights whose logits are not finite. Method: real tables, a table that is
// wrong in one operation, and packed models damaged in one place.
#include "worker/prepare/self_test.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string_view>

#include "tests/unit/worker/prepare/prepared_model.h"
#include "worker/kernels/dispatch.h"
#include "worker/prepare/accuracy_check.h"

namespace bitnetd::worker {
namespace {

using kernels::KernelTable;
using test::ModelFile;
using test::PreparedModel;

WeightsView view_of(const PreparedModel& model) {
    return open_weights(model.segment()).value();
}

// The reference but for the last bit of every third value of a norm.
void wrong_norm(int32_t m, int32_t k, const float* x, int64_t x_stride, const float* weight,
                float eps, float* y, int64_t y_stride) noexcept {
    kernels::find("scalar")->rms_norm(m, k, x, x_stride, weight, eps, y, y_stride);
    for (int32_t i = 0; i < m; ++i) {
        for (int32_t t = 0; t < k; t += 3)
            y[i * y_stride + t] = std::nextafter(y[i * y_stride + t], 9.0f);
    }
}

KernelTable wrong_table() {
    KernelTable table = *kernels::find("scalar");
    table.name = "wrong";
    table.rms_norm = wrong_norm;
    return table;
}

TEST(SelfTest, IdsAreSpreadOverTheVocabulary) {
    EXPECT_EQ(self_test_ids(16), (std::array<uint32_t, 8>{1, 3, 5, 7, 9, 11, 13, 15}));
    EXPECT_EQ(self_test_ids(1), (std::array<uint32_t, 8>{}));
    for (const uint32_t id : self_test_ids(128'256))
        EXPECT_LT(id, 128'256u);
    EXPECT_EQ(self_test_ids(128'256)[7], 120'240u);
}

TEST(SelfTest, EveryTableGivesTheSameBits) {
    const PreparedModel model(ModelFile(1));
    const WeightsView weights = view_of(model);
    for (const KernelTable* table : kernels::usable_tables()) {
        for (const KernelTable* other : kernels::usable_tables()) {
            const auto same = compare_tables(weights, *table, *other);
            EXPECT_TRUE(same.ok()) << same.error().message;
        }
    }
}

TEST(SelfTest, TheDemoModelGivesTheSameBits) {
    const PreparedModel model({tests::golden_path(test::kDemoModel)});
    const auto same =
        compare_tables(view_of(model), *kernels::usable_tables()[0], *kernels::find("scalar"));
    EXPECT_TRUE(same.ok()) << same.error().message;
}

TEST(SelfTest, AWrongTableIsFoundAndBothAreNamed) {
    const PreparedModel model(ModelFile(1));
    const auto same = compare_tables(view_of(model), *kernels::find("scalar"), wrong_table());
    ASSERT_FALSE(same.ok());
    const std::string& message = same.error().message;
    EXPECT_EQ(message.find("hidden value 0 of position 0 is "), 0u) << message;
    EXPECT_NE(message.find(" on scalar and "), std::string::npos) << message;
    EXPECT_NE(message.find(" on wrong, expected the same bits"), std::string::npos) << message;
}

TEST(SelfTest, WeightsThatOverflowAreRefused) {
    ModelFile file;
    // Finite, as a file's values must be, but their squares are not.
    file.tensors["output_norm.weight"] =
        test::f32_tensor({ModelFile::kHidden}, std::vector<float>(ModelFile::kHidden, 3e38f));
    const PreparedModel model(file);
    const auto values = self_test_values(view_of(model), *kernels::find("scalar"));
    ASSERT_FALSE(values.ok());
    EXPECT_EQ(values.error().message.find("on scalar "), 0u) << values.error().message;
    EXPECT_NE(values.error().message.find("expected a finite number"), std::string::npos);
    const auto checked = check_packed(model.preparation(), model.segment(), {});
    ASSERT_FALSE(checked.ok());
    EXPECT_EQ(checked.error().message.find("self-test: on "), 0u) << checked.error().message;
}

TEST(SelfTest, AModelForFewPositionsIsTestedOnThem) {
    ModelFile file;
    file.integers["context_length"] = 3;
    const PreparedModel model(file);
    const auto values = self_test_values(view_of(model), *kernels::find("scalar"));
    ASSERT_TRUE(values.ok()) << values.error().message;
    EXPECT_EQ(values->size(), 3 * ModelFile::kHidden + ModelFile::kVocab);
}

TEST(SelfTest, ScalarIsComparedOnlyWhereItIsFastEnough) {
    const WeightsView any{};
    for (const KernelTable* table : kernels::usable_tables()) {
        const KernelTable* other = table_to_compare(any, *table, false);
        EXPECT_NE(other, table);
        if (other != nullptr) {
            EXPECT_STRNE(other->name, "scalar");
        }
        other = table_to_compare(any, *table, true);
        EXPECT_EQ(other == nullptr, kernels::usable_tables().size() == 1);
    }
}

TEST(SelfTest, TablesThatCannotComputeTheWeightsAreNotComparedWith) {
    WeightsView weights{};
    weights.rounds_to_bf16 = true;
    for (const KernelTable* table : kernels::usable_tables()) {
        const KernelTable* other = table_to_compare(weights, *table, true);
        if (other != nullptr) {
            EXPECT_TRUE(check_table(weights, *other).ok()) << other->name;
        }
        // The scalar table multiplies bfloat16 and is always there.
        if (std::string_view(table->name) != "scalar") {
            EXPECT_NE(other, nullptr) << table->name;
        }
    }
}

}  // namespace
}  // namespace bitnetd::worker
