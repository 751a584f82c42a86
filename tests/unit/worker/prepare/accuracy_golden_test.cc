// Goal: a good model of any family and storage type passes the checks of a load, sampled and in
// full, with room above the minima.
// Method: the golden models, packed by the loader's code; the figures are printed. Skipped with a
// word where the set is absent; the demo model is always there.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/support/golden.h"
#include "tests/support/worker/golden_models.h"
#include "tests/unit/worker/prepare/prepared_model.h"
#include "worker/kernels/dispatch.h"
#include "worker/prepare/accuracy_check.h"

namespace bitnetd::worker {
namespace {

using nlohmann::json;
using test::PreparedModel;

// What a good model must be above: a tenth of what the minima allow to be lost.
constexpr double kRatioExpected = 0.999;

void check_model(const PreparedModel& model) {
    const auto sampled = check_packed(model.preparation(), model.segment(), {});
    ASSERT_TRUE(sampled.ok()) << sampled.error().message;
    const auto full = full_accuracy(model.preparation(), model.segment(), {}, {});
    ASSERT_TRUE(full.ok()) << full.error().message;
    EXPECT_TRUE(full->self_test.ok()) << full->self_test.error().message;
    ASSERT_EQ(full->matrices.size(), sampled->matrices.size());
    EXPECT_GT(sampled->cross_validation, kRatioExpected);
    for (const MatrixAccuracy& worst : worst_by_type(full->matrices)) {
        std::printf("%-10s %.7f length %.5f  %s\n", std::string(quant::name_of(worst.type)).c_str(),
                    worst.ratio, worst.length, worst.tensor.c_str());
        EXPECT_GT(worst.ratio, kRatioExpected) << worst.tensor;
    }
    for (const MatrixAccuracy& matrix : full->matrices) {
        EXPECT_NEAR(matrix.length, 1, 0.01) << matrix.tensor;
        EXPECT_TRUE(judge_accuracy(matrix, quant::AccuracyMinima()).ok());
    }
}

TEST(AccuracyOfDemoModel, InBothTypes) {
    check_model(PreparedModel({tests::golden_path(test::kDemoModel)}));
    check_model(
        PreparedModel({tests::golden_path("demo-model/bitnet-tiny-stories-5m-tq2_0.gguf")}));
}

TEST(GoldenFullAccuracy, OfEveryFamilyAndType) {
    const auto folder = test::golden_models_folder();
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no golden models at " << folder;
    size_t models = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder / "golden")) {
        const std::string name = file.path().stem();
        SCOPED_TRACE(name);
        std::printf("%s\n", name.c_str());
        const json golden = tests::read_json(file.path());
        check_model(PreparedModel(test::golden_paths(name, golden), test::golden_options(golden)));
        ++models;
    }
    EXPECT_GE(models, 34u);
}

}  // namespace
}  // namespace bitnetd::worker
