// Goal: a bfloat16 layer whose inputs are rounded gives what VDPBF16PS gives for the rounded rows,
// on every table that has it, and tables without it are refused. Method: a random layer, its rows
// and outputs in parts as threads take them, beside the scalar table's definition.
#include "worker/model/linear.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "worker/kernels/dispatch.h"
#include "worker/kernels/tables.h"
#include "worker/model/weights_view.h"

namespace bitnetd::worker {
namespace {

using kernels::Bf16;
using kernels::KernelTable;

constexpr int32_t kInputs = 1200;
constexpr int32_t kOutputs = 48;
constexpr int32_t kRows = 37;

std::vector<float> some_values(size_t count, uint32_t seed) {
    std::vector<float> out(count);
    uint32_t state = seed;
    for (float& value : out) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-29f;
    }
    return out;
}

std::vector<Bf16> rounded(const std::vector<float>& values) {
    std::vector<Bf16> out(values.size());
    kernels::reference::kTable.f32_to_bf16(static_cast<int64_t>(values.size()), values.data(),
                                           out.data());
    return out;
}

Linear bf16_layer(const std::vector<Bf16>& weights) {
    Linear w;
    w.weights = reinterpret_cast<const std::byte*>(weights.data());
    w.packing = shm::Packing::kBF16;
    w.outputs = kOutputs;
    w.inputs = kInputs;
    w.rounds_input = true;
    return w;
}

TEST(Linear, RoundsTheInputsOfBf16Layers) {
    const std::vector<float> x = some_values(size_t{kRows} * kInputs, 1);
    const std::vector<Bf16> weights = rounded(some_values(size_t{kOutputs} * kInputs, 2));
    const std::vector<Bf16> rows = rounded(x);
    std::vector<float> expected(size_t{kRows} * kOutputs);
    kernels::reference::kTable.matmul_bf16_dot(kRows, kOutputs, kInputs, rows.data(),
                                               weights.data(), expected.data(), kOutputs);
    const Linear w = bf16_layer(weights);
    for (const KernelTable* table : kernels::usable_tables()) {
        if (table->matmul_bf16_dot == nullptr) continue;
        LinearInput input(kRows, kInputs, TernaryChoice(*table, {}));
        std::vector<float> y(expected.size());
        input.prepare(*table, w, {0, 20}, x.data());
        input.prepare(*table, w, {20, kRows}, x.data());
        input.multiply(*table, kRows, w, {0, 16}, x.data(), y.data());
        input.multiply(*table, kRows, w, {16, kOutputs}, x.data(), y.data());
        for (size_t i = 0; i < y.size(); ++i) {
            ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(expected[i]))
                << table->name << " element " << i;
        }
    }
}

TEST(Linear, FormsAreSharedByLayersThatRoundAlike) {
    Linear rounds;
    rounds.packing = shm::Packing::kBF16;
    rounds.rounds_input = true;
    Linear keeps = rounds;
    keeps.rounds_input = false;
    Linear blocks = rounds;
    blocks.packing = shm::Packing::kBlocks;
    EXPECT_TRUE(LinearInput::share_input(rounds, rounds));
    EXPECT_TRUE(LinearInput::share_input(keeps, keeps));
    EXPECT_FALSE(LinearInput::share_input(rounds, keeps));
    EXPECT_FALSE(LinearInput::share_input(rounds, blocks));
}

TEST(Linear, TablesThatCannotMultiplyBf16AreRefused) {
    KernelTable without = kernels::reference::kTable;
    without.matmul_bf16_dot = nullptr;
    without.name = "without";
    WeightsView weights{};
    EXPECT_TRUE(check_table(weights, without).ok());
    weights.rounds_to_bf16 = true;
    EXPECT_TRUE(check_table(weights, kernels::reference::kTable).ok());
    const auto refused = check_table(weights, without);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("worker.bf16_inputs"), std::string::npos);
    EXPECT_NE(refused.error().message.find("without"), std::string::npos);
}

}  // namespace
}  // namespace bitnetd::worker
