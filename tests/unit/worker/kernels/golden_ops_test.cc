// Goal: single operations give the published numbers: the W1.58A8 product to the last bit, the
// float
//       operations within the tolerance the files state.
// Method: tests/golden/ops through every kernel table of this CPU. The tables agree bit for bit
//       (tests/property), so this says that the definition itself is right.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/base/portable_math.h"
#include "worker/kernels/dispatch.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::kernels {
namespace {

using Json = nlohmann::json;

Json golden(const std::string& name) {
    std::ifstream in(std::string(BITNETD_SOURCE_DIR) + "/tests/golden/ops/" + name + ".json");
    EXPECT_TRUE(in) << name;
    return Json::parse(in);
}

std::vector<uint8_t> bytes_of(const std::string& hex) {
    std::vector<uint8_t> bytes(hex.size() / 2);
    for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<uint8_t>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
    }
    return bytes;
}

std::vector<float> floats_of(const std::string& hex) {
    const std::vector<uint8_t> bytes = bytes_of(hex);
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return floats;
}

class GoldenOps : public ::testing::TestWithParam<const KernelTable*> {
  protected:
    const KernelTable& table() const { return *GetParam(); }
};

// The file's digits: 2 bits each, first in the low bits, row after row.
std::vector<uint8_t> packed_weights(const Json& test, int32_t n, int32_t k) {
    const std::vector<uint8_t> codes = bytes_of(test["digits_base4_hex"]);
    std::vector<int8_t> digits(static_cast<size_t>(n) * static_cast<size_t>(k));
    for (size_t i = 0; i < digits.size(); ++i) {
        digits[i] = static_cast<int8_t>(((codes[i / 4] >> (i % 4 * 2)) & 3) - 1);
    }
    std::vector<uint8_t> w(static_cast<size_t>(n * ternary_row_bytes(k)));
    for (int32_t j = 0; j < n; ++j) {
        pack_ternary_row(digits.data() + static_cast<int64_t>(j) * k, k,
                         w.data() + j * ternary_row_bytes(k));
    }
    return w;
}

// Rows of zeros, below the floor, ties, outliers and |q| = 127 everywhere are among them.
TEST_P(GoldenOps, TernaryProductIsEqualToTheLastBit) {
    const Json file = golden("bitlinear");
    ASSERT_FALSE(file["cases"].empty());
    for (const Json& test : file["cases"]) {
        const int32_t k = test["K"];
        const int32_t n = test["M"];
        const int32_t padded = static_cast<int32_t>(ternary_padded(k));
        const std::vector<uint8_t> w = packed_weights(test, n, k);
        const float w_scale = floats_of(test["weight_scale_f32"])[0];
        const int32_t m = static_cast<int32_t>(test["rows"].size());
        std::vector<float> x;
        for (const Json& row : test["rows"]) {
            const std::vector<float> values = floats_of(row["x_f32"]);
            x.insert(x.end(), values.begin(), values.end());
        }
        std::vector<int8_t> q(static_cast<size_t>(m) * static_cast<size_t>(padded));
        std::vector<float> scale(static_cast<size_t>(m));
        std::vector<int32_t> sum(static_cast<size_t>(m));
        table().quantise_rows(m, k, x.data(), k, q.data(), scale.data(), sum.data());
        std::vector<float> y(static_cast<size_t>(m * n));
        table().ternary_gemm(m, n, padded, q.data(), sum.data(), scale.data(), w.data(), w_scale,
                             y.data(), n);
        // With both scales 1 the result is the integer sum itself.
        const std::vector<float> ones(static_cast<size_t>(m), 1.0f);
        std::vector<float> acc(y.size());
        table().ternary_gemm(m, n, padded, q.data(), sum.data(), ones.data(), w.data(), 1.0f,
                             acc.data(), n);
        for (size_t i = 0; i < static_cast<size_t>(m); ++i) {
            const Json& row = test["rows"][i];
            const size_t outputs = static_cast<size_t>(n);
            EXPECT_EQ(scale[i], floats_of(row["s_f32"])[0]) << "row " << i;
            int32_t total = 0;
            for (size_t t = 0; t < static_cast<size_t>(k); ++t) {
                ASSERT_EQ(q[i * static_cast<size_t>(padded) + t], row["q"][t].get<int>())
                    << "row " << i;
                total += row["q"][t].get<int>();
            }
            EXPECT_EQ(sum[i], total);
            const std::vector<float> want = floats_of(row["y_f32"]);
            for (size_t j = 0; j < outputs; ++j) {
                ASSERT_EQ(acc[i * outputs + j], row["acc"][j].get<float>()) << "row " << i;
            }
            EXPECT_EQ(std::memcmp(&y[i * outputs], want.data(), outputs * sizeof(float)), 0)
                << "row " << i;
        }
    }
}

TEST_P(GoldenOps, RmsNorm) {
    const Json file = golden("rmsnorm");
    const double tolerance = file["relative_tolerance"];
    for (const Json& test : file["cases"]) {
        const std::vector<float> x = floats_of(test["x_f32"]);
        const std::vector<float> w = floats_of(test["w_f32"]);
        const int32_t k = static_cast<int32_t>(x.size());
        std::vector<float> y(x.size());
        table().rms_norm(1, k, x.data(), k, w.data(), test["eps"].get<float>(), y.data(), k);
        for (size_t t = 0; t < y.size(); ++t) {
            const double want = test["y"][t];
            ASSERT_NEAR(y[t], want, tolerance * std::fabs(want)) << t;
        }
    }
}

TEST_P(GoldenOps, Activations) {
    const Json file = golden("activations");
    const std::vector<float> x = floats_of(file["x_f32"]);
    const std::vector<float> up(x.size(), 1.0f);
    const int64_t count = static_cast<int64_t>(x.size());
    std::vector<float> silu = x;
    table().silu_gate(count, silu.data(), up.data());
    std::vector<float> relu2 = x;
    table().relu2_gate(count, relu2.data(), up.data());
    std::vector<float> gelu = x;
    table().gelu_gate(count, gelu.data(), up.data());
    for (size_t t = 0; t < x.size(); ++t) {
        const double want_gelu = file["gelu_tanh"][t];
        EXPECT_NEAR(gelu[t], want_gelu, 1e-6 * std::fabs(want_gelu) + 1e-7) << x[t];
        const double want_silu = file["silu"][t];
        const double want_relu2 = file["relu2"][t];
        EXPECT_NEAR(silu[t], want_silu, 1e-6 * std::fabs(want_silu) + 1e-7) << x[t];
        EXPECT_NEAR(relu2[t], want_relu2, 1e-6 * std::fabs(want_relu2) + 1e-7) << x[t];
    }
}

std::vector<float> cos_sin_of(const Json& test, double position) {
    const size_t half = test["n_rot"].get<size_t>() / 2;
    if (!test["scaling"].is_null()) position /= test["scaling"]["factor"].get<double>();
    std::vector<float> table(2 * half);
    for (size_t p = 0; p < half; ++p) {
        double frequency =
            portable::pow(test["base"], -static_cast<double>(p) / static_cast<double>(half));
        if (!test["freq_factors"].is_null()) frequency /= test["freq_factors"][p].get<double>();
        table[p] = static_cast<float>(portable::cos(position * frequency));
        table[half + p] = static_cast<float>(portable::sin(position * frequency));
    }
    return table;
}

TEST_P(GoldenOps, Rope) {
    const Json file = golden("rope");
    int tested = 0;
    for (const Json& test : file["cases"]) {
        // yarn changes the table of angles, not the rotation.
        if (!test["scaling"].is_null() && test["scaling"]["type"] == "yarn") continue;
        const size_t dim = test["D"];
        const size_t heads = test["heads"];
        const size_t n_rot = test["n_rot"];
        const bool norm = test["style"] == "NORM";
        const std::vector<float> x = floats_of(test["x_f32"]);
        for (size_t i = 0; i < test["positions"].size(); ++i) {
            const double position = test["positions"][i];
            const std::vector<float> cos_sin = cos_sin_of(test, position);
            for (size_t h = 0; h < heads; ++h) {
                const size_t at = (i * heads + h) * dim;
                const auto begin = x.begin() + static_cast<int64_t>(at);
                std::vector<float> head(begin, begin + static_cast<int64_t>(dim));
                const RopeNeox rotate = norm ? table().rope_norm : table().rope_neox;
                rotate(1, static_cast<int32_t>(dim), static_cast<int32_t>(n_rot), cos_sin.data(),
                       head.data());
                std::vector<float> want(dim);
                for (size_t d = 0; d < dim; ++d)
                    want[d] = test["y"][at + d].get<float>();
                for (size_t d = 0; d < dim; ++d) {
                    ASSERT_NEAR(head[d], want[d], 1e-5 * (1.0 + position / 100.0)) << position;
                }
            }
        }
        ++tested;
    }
    EXPECT_GE(tested, 7);
}

// No overflow on the way turns a large value into NaN.
TEST_P(GoldenOps, ActivationsSaturate) {
    const std::vector<float> x = {-3e38f, -1e20f, -100.0f, -20.0f, 20.0f, 100.0f, 1e20f, 3e38f};
    const std::vector<float> up(x.size(), 1.0f);
    const auto count = static_cast<int64_t>(x.size());
    for (const GatedActivation activation : {table().gelu_gate, table().silu_gate}) {
        std::vector<float> y = x;
        activation(count, y.data(), up.data());
        for (size_t t = 0; t < x.size(); ++t)
            EXPECT_NEAR(y[t], std::max(x[t], 0.0f), 1e-7) << x[t];
    }
}

TEST_P(GoldenOps, SoftCap) {
    for (const float cap : {1.0f, 30.0f, 50.0f}) {
        std::vector<float> x = {0.0f, -0.0f, 1e30f, -1e30f, std::nanf("")};
        for (int i = -400; i <= 400; ++i)
            x.push_back(0.37f * static_cast<float>(i));
        std::vector<float> y = x;
        table().soft_cap(static_cast<int64_t>(y.size()), cap, y.data());
        EXPECT_EQ(y[2], cap);
        EXPECT_EQ(y[3], -cap);
        EXPECT_TRUE(std::isnan(y[4]));
        for (size_t t = 0; t < x.size(); ++t) {
            if (t == 4) continue;
            EXPECT_NEAR(y[t], cap * std::tanh(double{x[t]} / cap), double{cap} * 0x1p-21) << x[t];
        }
    }
}

// Keys and values of one sequence in pages, as the KV cache keeps them.
struct Pages {
    Pages(const Json& test, int32_t count, int32_t page_tokens) {
        const int32_t dim = test["D"];
        const int32_t kv_heads = test["kv_heads"];
        const int32_t row = (dim + 15) / 16 * 16;
        const std::vector<float> k = floats_of(test["k_f32"]);
        const std::vector<float> v = floats_of(test["v_f32"]);
        const int64_t half = static_cast<int64_t>(kv_heads) * page_tokens * row;
        storage.resize(static_cast<size_t>((count + page_tokens - 1) / page_tokens),
                       std::vector<float>(static_cast<size_t>(2 * half)));
        for (int32_t p = 0; p < count; ++p) {
            float* page = storage[static_cast<size_t>(p / page_tokens)].data();
            for (int32_t h = 0; h < kv_heads; ++h) {
                const int64_t from = (static_cast<int64_t>(p) * kv_heads + h) * dim;
                const int64_t to = (static_cast<int64_t>(h) * page_tokens + p % page_tokens) * row;
                std::copy_n(k.begin() + from, dim, page + to);
                std::copy_n(v.begin() + from, dim, page + half + to);
            }
        }
        for (const auto& page : storage) {
            pointers.push_back(reinterpret_cast<const std::byte*>(page.data()));
        }
        view = {pointers.data(), 0,        half * static_cast<int64_t>(sizeof(float)),
                page_tokens,     kv_heads, dim};
    }

    std::vector<std::vector<float>> storage;
    std::vector<const std::byte*> pointers;
    KvView view{};
};

TEST_P(GoldenOps, Attention) {
    const Json file = golden("attention");
    const double tolerance = file["absolute_tolerance"];
    for (const Json& test : file["cases"]) {
        const int32_t dim = test["D"];
        const int32_t heads = test["heads"];
        const int32_t queries = test["queries"];
        const int32_t keys = test["keys"];
        const std::vector<float> q = floats_of(test["q_f32"]);
        const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
        for (int32_t i = 0; i < queries; ++i) {
            const int32_t end = keys - queries + i + 1;
            const int32_t first =
                test["window"].is_null() ? 0 : std::max(0, end - test["window"].get<int32_t>());
            const Pages pages(test, end, 16);
            std::vector<float> out(static_cast<size_t>(heads * dim));
            const size_t at = static_cast<size_t>(i) * out.size();
            table().attention_f32(pages.view, heads, 0, heads, first, end, scale, q.data() + at,
                                  out.data());
            for (size_t d = 0; d < out.size(); ++d) {
                ASSERT_NEAR(out[d], test["y"][at + d].get<double>(), tolerance);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Usable, GoldenOps,
                         ::testing::ValuesIn(usable_tables().begin(), usable_tables().end()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace bitnetd::kernels
