// Goal: the accuracy of packed weights is measured, not stated: every storage type of a good model
// is near 1 and not the same for two models, and whatever goes wrong between a model's files and
// its packed weights is found, with the tensor's name.
// Method: a small model and the golden ones, packed by the loader's code; then the packed segment
// is damaged in one place and measured again.
#include "worker/prepare/accuracy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/unit/worker/prepare/prepared_model.h"
#include "worker/kernels/dispatch.h"
#include "worker/kernels/ternary_pack.h"
#include "worker/prepare/accuracy_check.h"
#include "worker/prepare/probe_rows.h"

namespace bitnetd::worker {
namespace {

using shm::TensorPart;
using test::ModelFile;
using test::PreparedModel;

std::vector<MatrixAccuracy> measure(const PreparedModel& model,
                                    Coverage coverage = Coverage::kSampled,
                                    const char* table = "scalar",
                                    BlockInputs block_inputs = BlockInputs::kInt8) {
    const auto weights = open_weights(model.segment(), block_inputs).value();
    return measure_accuracy(model.preparation().input(), model.preparation().plan(), weights,
                            {*kernels::find(table), coverage, {}})
        .value();
}

const MatrixAccuracy& of_tensor(const std::vector<MatrixAccuracy>& matrices,
                                std::string_view name) {
    const auto at = std::find_if(matrices.begin(), matrices.end(),
                                 [&](const auto& matrix) { return matrix.tensor == name; });
    EXPECT_NE(at, matrices.end()) << name;
    return *at;
}

// What a load says about the packed model.
std::string refusal(const PreparedModel& model) {
    const auto checked = check_packed(model.preparation(), model.segment(), {});
    return checked.ok() ? "" : checked.error().message;
}

void negate_block(PreparedModel& model, TensorPart part, uint32_t row) {
    auto& entry = model.entry(part, 0);
    auto* packed = reinterpret_cast<uint8_t*>(model.bytes_of(entry)) +
                   row * kernels::ternary_row_bytes(entry.columns);
    std::vector<int8_t> digits(entry.columns);
    kernels::unpack_ternary_row(packed, entry.columns, digits.data());
    for (size_t t = 0; t < std::min<size_t>(digits.size(), kernels::kTernaryBlock); ++t)
        digits[t] = static_cast<int8_t>(-digits[t]);
    kernels::pack_ternary_row(digits.data(), entry.columns, packed);
}

TEST(ProbeRows, AreNormalWithOutliers) {
    std::vector<float> row(4096);
    fill_probe_row(7, row);
    double squares = 0;
    int outliers = 0;
    for (const float value : row) {
        if (std::fabs(value) == kOutlier) {
            ++outliers;
        } else {
            squares += static_cast<double>(value) * value;
        }
    }
    EXPECT_GE(outliers, 1);
    EXPECT_LE(outliers, kOutliersPerRow);
    EXPECT_NEAR(squares / 4096, 1, 0.1);
    std::vector<float> again(4096);
    fill_probe_row(7, again);
    EXPECT_EQ(row, again);
    fill_probe_row(8, again);
    EXPECT_NE(row, again);
}

TEST(Accuracy, OfASmallModelIsHighAndNotAConstant) {
    const PreparedModel one(ModelFile(1));
    const PreparedModel other(ModelFile(2));
    const auto first = measure(one);
    const auto second = measure(other);
    ASSERT_EQ(first.size(), 1 + 7 * ModelFile::kLayers);
    for (const MatrixAccuracy& matrix : first) {
        const bool is_ternary = matrix.type == quant::Type::kI2_S;
        EXPECT_GT(matrix.ratio, is_ternary ? 0.998 : 0.9999999) << matrix.tensor;
        EXPECT_LE(matrix.ratio, 1) << matrix.tensor;
        EXPECT_NEAR(matrix.length, 1, 0.01) << matrix.tensor;
        EXPECT_EQ(matrix.ratio < 0.9999999, is_ternary) << "int8 activations cost something";
    }
    EXPECT_NE(of_tensor(first, "blk.0.attn_q.weight").ratio,
              of_tensor(second, "blk.0.attn_q.weight").ratio);
    EXPECT_EQ(refusal(one), "");
}

TEST(Accuracy, IsTheSameOnEveryTable) {
    const PreparedModel model(ModelFile(1));
    const auto scalar = measure(model);
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
        const auto matrices = measure(model, Coverage::kSampled, table->name);
        for (size_t i = 0; i < matrices.size(); ++i)
            EXPECT_EQ(matrices[i].ratio, scalar[i].ratio) << table->name;
    }
}

TEST(Accuracy, FindsANegatedBlock) {
    PreparedModel model(ModelFile(1));
    negate_block(model, TensorPart::kFfnDown, 37);
    const auto found = of_tensor(measure(model, Coverage::kAll), "blk.0.ffn_down.weight");
    EXPECT_LT(found.ratio, 0.99);
    EXPECT_EQ(found.row, 32u);
    EXPECT_NE(refusal(model).find("'blk.0.ffn_down.weight': accuracy ratio 0.6"), std::string::npos)
        << refusal(model);
}

TEST(Accuracy, FindsAWrongScaleByTheLength) {
    PreparedModel model(ModelFile(1));
    model.entry(TensorPart::kFfnGate, 1).scale *= 1.1f;
    const auto found = of_tensor(measure(model), "blk.1.ffn_gate.weight");
    EXPECT_NEAR(found.length, 1.1, 0.01);
    EXPECT_GT(found.ratio, 0.99);
    EXPECT_NE(refusal(model).find("'blk.1.ffn_gate.weight': its products are 1.1"),
              std::string::npos)
        << refusal(model);
}

TEST(Accuracy, FindsSwappedRows) {
    PreparedModel model(ModelFile(1));
    auto& entry = model.entry(TensorPart::kAttnQ, 0);
    std::byte* rows = model.bytes_of(entry);
    const auto bytes = static_cast<size_t>(kernels::ternary_row_bytes(entry.columns));
    std::swap_ranges(rows + 3 * bytes, rows + 4 * bytes, rows + 100 * bytes);
    EXPECT_LT(of_tensor(measure(model), "blk.0.attn_q.weight").ratio, 0.99);
    EXPECT_NE(refusal(model).find("'blk.0.attn_q.weight'"), std::string::npos);
}

TEST(Accuracy, FindsSwappedMatrices) {
    PreparedModel model(ModelFile(1));
    std::swap(model.entry(TensorPart::kAttnK, 0).offset, model.entry(TensorPart::kAttnV, 0).offset);
    const auto found = measure(model);
    EXPECT_LT(of_tensor(found, "blk.0.attn_k.weight").ratio, 0.5);
    EXPECT_LT(of_tensor(found, "blk.0.attn_v.weight").ratio, 0.5);
    EXPECT_NE(refusal(model).find("'blk.0.attn_k.weight'"), std::string::npos);
}

TEST(Accuracy, FindsDamageInTables) {
    PreparedModel model(ModelFile(1));
    auto& entry = model.entry(TensorPart::kTokenEmbedding, shm::kNoLayer);
    std::byte* rows = model.bytes_of(entry);
    const size_t row_bytes = entry.columns * sizeof(float);
    std::swap_ranges(rows, rows + row_bytes, rows + row_bytes);
    EXPECT_NE(refusal(model).find("'token_embd.weight': accuracy ratio"), std::string::npos)
        << refusal(model);
}

TEST(Accuracy, OfZerosIsOne) {
    ModelFile file;
    const std::vector<int8_t> zeros(size_t{ModelFile::kHidden} * ModelFile::kFfn);
    file.tensors["blk.0.ffn_up.weight"] =
        test::i2_s_tensor(ModelFile::kHidden, ModelFile::kFfn, zeros, 1);
    PreparedModel model(file);
    EXPECT_EQ(of_tensor(measure(model), "blk.0.ffn_up.weight").ratio, 1);
    EXPECT_EQ(of_tensor(measure(model), "blk.0.ffn_up.weight").length, 1);
    EXPECT_EQ(refusal(model), "");
    model.entry(TensorPart::kFfnUp, 0).offset = model.entry(TensorPart::kFfnGate, 0).offset;
    EXPECT_EQ(of_tensor(measure(model), "blk.0.ffn_up.weight").ratio, 0) << "something for nothing";
}

TEST(Accuracy, OfValuesThatAreNotFiniteIsZero) {
    PreparedModel model(ModelFile(1));
    auto& entry = model.entry(TensorPart::kTokenEmbedding, shm::kNoLayer);
    const float nan = NAN;
    std::memcpy(model.bytes_of(entry) + 40, &nan, sizeof nan);
    const auto found = of_tensor(measure(model), "token_embd.weight");
    EXPECT_EQ(found.ratio, 0);
    EXPECT_EQ(found.row, 0u);
}

TEST(Accuracy, TellsTheWorstOfEachType) {
    PreparedModel model(ModelFile(1));
    negate_block(model, TensorPart::kFfnDown, 5);
    const auto worst = worst_by_type(measure(model));
    ASSERT_EQ(worst.size(), 2u);
    EXPECT_EQ(worst[0].type, quant::Type::kF32);
    EXPECT_EQ(worst[1].type, quant::Type::kI2_S);
    EXPECT_EQ(worst[1].tensor, "blk.0.ffn_down.weight");
    shm::ModelFacts facts{};
    set_accuracy(facts, {measure(model), 0.75});
    EXPECT_EQ(facts.cross_validation, 0.75f);
    EXPECT_EQ(facts.accuracy_count, 2u);
    EXPECT_STREQ(facts.accuracy[1].type, "I2_S");
    EXPECT_EQ(facts.accuracy[1].ratio, static_cast<float>(worst[1].ratio));
}

TEST(Accuracy, AModelBelowTheMinimumIsRefusedWithTheFigures) {
    const PreparedModel model(ModelFile(1));
    AccuracyOptions options;
    options.minima = quant::AccuracyMinima::parse("I2_S=0.99999999").value();
    const auto checked = check_packed(model.preparation(), model.segment(), options);
    ASSERT_FALSE(checked.ok());
    const std::string& message = checked.error().message;
    EXPECT_NE(message.find("'blk.0.ffn_down.weight': accuracy ratio 0.9997"), std::string::npos)
        << message;
    EXPECT_NE(message.find("expected 0.99999999 or more for I2_S"), std::string::npos) << message;
    EXPECT_NE(message.find("model.accuracy_min"), std::string::npos) << message;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalid);
}

// A matrix with more rows than are sampled.
TEST(Accuracy, SamplesLargeMatricesAndVerifiesAllOfThem) {
    const PreparedModel model({tests::golden_path(test::kDemoModel)});
    const auto sampled = measure(model, Coverage::kSampled, kernels::usable_tables()[0]->name);
    const auto all = measure(model, Coverage::kAll, kernels::usable_tables()[0]->name);
    ASSERT_EQ(sampled.size(), all.size());
    bool some_sampled = false;
    for (size_t i = 0; i < all.size(); ++i) {
        EXPECT_LE(all[i].ratio, sampled[i].ratio) << all[i].tensor;
        EXPECT_GT(all[i].ratio, 0.998) << all[i].tensor;
        some_sampled = some_sampled || sampled[i].values < all[i].values;
    }
    EXPECT_TRUE(some_sampled);
}

// Other activations, so another figure; a good model is good by both, and a bad one bad.
TEST(Accuracy, IsMeasuredASecondTimeOnAnotherSample) {
    PreparedModel model(ModelFile(1));
    const auto lowest_ratio = [&] {
        double lowest = 1;
        for (const MatrixAccuracy& matrix : measure(model))
            lowest = std::min(lowest, matrix.ratio);
        return lowest;
    };
    AccuracyOptions options;
    options.minima = quant::AccuracyMinima::parse("all=0").value();
    auto checked = check_packed(model.preparation(), model.segment(), options);
    ASSERT_TRUE(checked.ok()) << checked.error().message;
    EXPECT_NE(checked->cross_validation, lowest_ratio());
    EXPECT_NEAR(checked->cross_validation, lowest_ratio(), 0.001);
    negate_block(model, TensorPart::kFfnDown, 5);
    checked = check_packed(model.preparation(), model.segment(), options);
    ASSERT_TRUE(checked.ok()) << checked.error().message;
    EXPECT_LT(checked->cross_validation, 0.99);
}

}  // namespace
}  // namespace bitnetd::worker
