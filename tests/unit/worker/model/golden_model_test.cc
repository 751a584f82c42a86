// Goal: models of every family and storage type give the numbers of the golden set: logits of
// language models, vectors of embedding models. Skipped with a word where the set is absent.
// Method: the real loader's packing, the real engine; ids of the golden path are fed whatever was
// drawn, so that a legitimate difference does not hide what follows. Tolerances are those stated
// with the golden data, where they are explained: a whole ternary model is chaotic in int8, so
// tight only where no quantised value lies near a rounding boundary.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "tests/support/golden.h"
#include "tests/support/worker/engine_fixture.h"
#include "tests/support/worker/golden_models.h"
#include "tests/support/worker/packed_model.h"
#include "worker/model/pooling.h"

namespace bitnetd::worker {
namespace {

using nlohmann::json;
using test::EngineFixture;
using test::PackedModel;

// The largest difference between values and a list of [index, value].
double largest_difference(std::span<const float> values, const json& expected) {
    double largest = 0;
    for (const json& entry : expected) {
        const double value = values[entry[0].get<size_t>()];
        largest = std::max(largest, std::fabs(value - entry[1].get<double>()));
    }
    return largest;
}

// What one arithmetic of the golden set allows.
class Tolerance {
  public:
    // `row`: the kind of engine, for arithmetic without chaos.
    Tolerance(const json& stated, const char* row) : stated_(stated), row_(row) {}

    double at(const json& result, size_t step) const {
        if (!stated_.contains("where_clear_max_abs")) return stated_[row_];
        return is_clear(result, step) ? stated_["where_clear_max_abs"] : stated_["max_abs"];
    }

  private:
    static bool is_clear(const json& result, size_t step) {
        const json& clearance = result["clearance"];
        if ((clearance.is_array() ? clearance[step] : clearance).get<double>() < 1e-4) return false;
        if (!result.contains("clearance_f16")) return true;
        const json& half = result["clearance_f16"];
        return (half.is_array() ? half[step] : half).get<double>() >= 2e-3;
    }

    const json& stated_;
    const char* row_;
};

void check_logits(EngineFixture& fixture, const json& prompt, const json& result,
                  const Tolerance& tolerance) {
    auto ids = prompt.get<std::vector<uint32_t>>();
    auto logits = fixture.feed(0, ids);
    EXPECT_LE(largest_difference(logits, result["top64"]), tolerance.at(result, 0));
    EXPECT_LE(largest_difference(logits, result["fixed16"]), tolerance.at(result, 0));
    const json& greedy = result["greedy"];
    for (size_t step = 0; step < greedy["ids"].size(); ++step) {
        if (greedy["margin"][step] >= 2 * tolerance.at(result, step)) {
            EXPECT_EQ(test::argmax(logits), greedy["ids"][step]) << "step " << step;
        }
        ids.push_back(greedy["ids"][step].get<uint32_t>());
        logits = fixture.feed(0, ids, static_cast<uint32_t>(ids.size()) - 1);
    }
}

void check_vector(EngineFixture& fixture, const json& prompt, const json& result,
                  const Tolerance& tolerance) {
    const auto ids = prompt.get<std::vector<uint32_t>>();
    Pooler pooler(fixture.weights().header.pooling, fixture.weights().header.hidden);
    for (uint32_t p = 0; p < ids.size(); ++p) {
        const Row row = fixture.row(0, ids[p], p);
        fixture.engine().step({&row, 1}, {});
        pooler.add(fixture.engine().hidden_of(0));
    }
    std::vector<float> vector(fixture.weights().header.hidden);
    pooler.write(vector);
    const double length =
        std::sqrt(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0));
    ASSERT_EQ(vector.size(), result["vector"].size());
    double largest = 0;
    for (size_t i = 0; i < vector.size(); ++i)
        largest =
            std::max(largest, std::fabs(vector[i] / length - result["vector"][i].get<double>()));
    EXPECT_LE(largest, tolerance.at(result, 0));
}

struct Case {
    const char* arithmetic;
    const char* row;  // of its tolerance
    EngineFixture::Options options;
};

class GoldenModel : public ::testing::TestWithParam<const char*> {
  protected:
    void check(const Case& how) {
        if (!std::filesystem::exists(test::golden_models_folder())) {
            GTEST_SKIP() << "no golden models at " << test::golden_models_folder();
        }
        const json golden = tests::read_json(test::golden_models_folder() / "golden" /
                                             (std::string(GetParam()) + ".json"));
        if (!golden["results"].contains(how.arithmetic) ||
            !(golden["tolerance"][how.arithmetic].contains(how.row) ||
              golden["tolerance"][how.arithmetic].contains("max_abs"))) {
            GTEST_SKIP() << "not a model of this arithmetic";
        }
        const PackedModel model(test::golden_paths(GetParam(), golden),
                                test::golden_options(golden));
        EngineFixture fixture(model.segment(), how.options);
        const Tolerance tolerance(golden["tolerance"][how.arithmetic], how.row);
        for (size_t i = 0; i < golden["prompts"].size(); ++i) {
            const json& prompt = golden["prompts"][i];
            const json& result = golden["results"][how.arithmetic][i];
            SCOPED_TRACE(prompt["name"].get<std::string>());
            if (result.contains("vector")) {
                check_vector(fixture, prompt["ids"], result, tolerance);
            } else {
                check_logits(fixture, prompt["ids"], result, tolerance);
            }
        }
    }
};

class GoldenFullTernary : public GoldenModel {};
class GoldenFullFloat : public GoldenModel {};

TEST_P(GoldenFullTernary, WithF32KeysAndValues) {
    check({"a8", "", {.step_tokens_max = 256}});
}
TEST_P(GoldenFullTernary, WithF16KeysAndValues) {
    check({"a8_f16kv", "", {.kv_type = KvType::kF16, .step_tokens_max = 256}});
}

TEST_P(GoldenFullFloat, WithF32KeysAndValues) {
    check({"float", "float32_kv", {.step_tokens_max = 256, .block_inputs = BlockInputs::kFloat}});
}
TEST_P(GoldenFullFloat, WithF16KeysAndValues) {
    check({"float",
           "f16_kv",
           {.kv_type = KvType::kF16, .step_tokens_max = 256, .block_inputs = BlockInputs::kFloat}});
}
TEST_P(GoldenFullFloat, WithInt8Inputs) {
    check({"float", "int8_activations", {.step_tokens_max = 256}});
}

std::string test_name(const ::testing::TestParamInfo<const char*>& parameter) {
    std::string name = parameter.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(
    Models, GoldenFullTernary,
    ::testing::Values("b158-e128-I2_S", "b158-e128-F32", "b158-e128-IQ1_BN", "b158-e128-IQ2_BN",
                      "b158-e256-I2_S", "b158-e256-TQ1_0", "b158-e256-TQ2_0", "b158-e256-TL1",
                      "b158-e256-TL2", "b158-bias-I2_S", "bitnet-e256-I2_S", "bitnet-scale-TQ2_0",
                      "bitnet-scale-IQ2_BN", "llama-i2s-I2_S", "embed-qwen3-I2_S",
                      "embed-gemma3-I2_S", "st-bitnet-master", "st-bitnet-packed"),
    test_name);

INSTANTIATE_TEST_SUITE_P(Models, GoldenFullFloat,
                         ::testing::Values("llama-plain-F32", "llama-plain-BF16",
                                           "llama-plain-Q8_0", "llama-plain-Q4_0",
                                           "llama-plain-Q5_0", "llama-rf-Q4_K_M", "llama-rf-Q2_K",
                                           "llama-d-F32", "qwen2-F32", "qwen2-Q8_0", "qwen3-F32",
                                           "qwen3-Q4_0", "gemma3-F32", "gemma3-Q8_0",
                                           "gemma3-swa-F16", "st-llama-bf16"),
                         test_name);

}  // namespace
}  // namespace bitnetd::worker
