// Goal: the forward pass computes the formulas (here those of bitnet-b1.58; golden_model_test.cc
// has every family), and a row's logits have the same bits in any batch, chunking, thread count and
// instruction set. Method: small random models. The formulas are written again below, in double and
// one value at a time, with the same int8 rounding; everything else compares bit for bit.
#include "worker/model/forward_pass.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <random>

#include "tests/support/worker/engine_fixture.h"
#include "tests/support/worker/tiny_model.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::worker {
namespace {

using test::EngineFixture;
using test::TinyModel;
using test::TinyShape;
using Values = std::vector<double>;

std::vector<uint32_t> random_ids(size_t count, uint32_t vocab, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<uint32_t> ids(count);
    for (uint32_t& id : ids)
        id = static_cast<uint32_t>(random() % vocab);
    return ids;
}

// The model as its formulas say, for one sequence.
class PlainModel {
  public:
    explicit PlainModel(const WeightsView& weights)
        : w_(weights), h_(weights.header), keys_(h_.layers), values_(h_.layers) {}

    Values next(uint32_t id) {
        Values x = table_row(w_.embedding, id);
        for (uint32_t layer = 0; layer < h_.layers; ++layer) {
            const LayerWeights& w = w_.layers[layer];
            const Values h = norm(x, w.attn_norm);
            keys_[layer].push_back(rope(linear(h, w.k)));
            values_[layer].push_back(linear(h, w.v));
            const Values a = norm(attention(rope(linear(h, w.q)), layer), w.attn_sub_norm);
            add(x, linear(a, w.attn_output));
            const Values f = norm(x, w.ffn_norm);
            Values gate = linear(f, w.gate);
            const Values up = linear(f, w.up);
            for (size_t i = 0; i < gate.size(); ++i) {
                const double r = std::max(gate[i], 0.0);
                gate[i] = r * r * up[i];
            }
            add(x, linear(norm(gate, w.ffn_sub_norm), w.down));
        }
        ++position_;
        const Values h = norm(x, w_.output_norm);
        Values logits(h_.vocab);
        for (uint32_t i = 0; i < h_.vocab; ++i)
            logits[i] = dot(h, table_row(w_.output, i));
        return logits;
    }

  private:
    static double dot(const Values& a, const Values& b) {
        double sum = 0;
        for (size_t i = 0; i < a.size(); ++i)
            sum += a[i] * b[i];
        return sum;
    }
    static void add(Values& x, const Values& y) {
        for (size_t i = 0; i < x.size(); ++i)
            x[i] += y[i];
    }

    Values table_row(const Linear& table, uint32_t id) const {
        std::vector<float> row(h_.hidden);
        worker::table_row(*kernels::find("scalar"), table, id, row.data());
        return {row.begin(), row.end()};
    }

    Values norm(const Values& x, const float* weight) const {
        const double factor = 1 / std::sqrt(dot(x, x) / static_cast<double>(x.size()) +
                                            static_cast<double>(h_.norm_eps));
        Values y(x.size());
        for (size_t i = 0; i < x.size(); ++i)
            y[i] = x[i] * factor * weight[i];
        return y;
    }

    static Values linear(const Values& x, const Linear& w) {
        double largest = 1e-5;
        for (const double value : x)
            largest = std::max(largest, std::fabs(value));
        const double scale = 127.0 / largest;
        Values y(static_cast<size_t>(w.outputs));
        std::vector<int8_t> digits(static_cast<size_t>(w.inputs));
        for (size_t j = 0; j < y.size(); ++j) {
            const int64_t at = static_cast<int64_t>(j) * kernels::ternary_row_bytes(w.inputs);
            kernels::unpack_ternary_row(reinterpret_cast<const uint8_t*>(w.weights) + at, w.inputs,
                                        digits.data());
            double sum = 0;
            for (size_t i = 0; i < x.size(); ++i)
                sum += std::nearbyint(x[i] * scale) * digits[i];
            y[j] = sum / scale * w.scale + (w.bias != nullptr ? w.bias[j] : 0.0f);
        }
        return y;
    }

    Values rope(Values x) const {
        const uint32_t half = h_.rope_dims / 2;
        for (size_t head = 0; head < x.size() / h_.head_dim; ++head) {
            for (uint32_t p = 0; p < half; ++p) {
                double& a = x[head * h_.head_dim + p];
                double& b = x[head * h_.head_dim + p + half];
                const double angle = position_ * std::pow(10000.0, -2.0 * p / h_.rope_dims);
                const double rotated = a * std::cos(angle) - b * std::sin(angle);
                b = a * std::sin(angle) + b * std::cos(angle);
                a = rotated;
            }
        }
        return x;
    }

    Values attention(const Values& q, uint32_t layer) const {
        Values out(q.size(), 0.0);
        for (uint32_t head = 0; head < h_.heads; ++head) {
            const size_t kv = head / (h_.heads / h_.kv_heads) * h_.head_dim;
            Values score;
            double sum = 0;
            for (const Values& key : keys_[layer]) {
                double s = 0;
                for (uint32_t d = 0; d < h_.head_dim; ++d)
                    s += q[head * h_.head_dim + d] * key[kv + d];
                score.push_back(std::exp(s / std::sqrt(static_cast<double>(h_.head_dim))));
                sum += score.back();
            }
            for (size_t p = 0; p < score.size(); ++p) {
                for (uint32_t d = 0; d < h_.head_dim; ++d) {
                    out[head * h_.head_dim + d] += score[p] / sum * values_[layer][p][kv + d];
                }
            }
        }
        return out;
    }

    const WeightsView& w_;
    const shm::WeightsHeader& h_;
    uint32_t position_ = 0;
    std::vector<std::vector<Values>> keys_, values_;  // [layer][position]
};

double relative_l2(const Values& expected, const std::vector<float>& found) {
    double difference = 0;
    double norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        difference += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / norm);
}

// Float sums disturb a quantiser's input by about 2^-20; where that crosses a rounding boundary one
// int8 step of 1/127 follows. One layer of 48 inputs moves by 1 % of one output then; a wrong
// formula is off by 0.05 at least. Most seeds cross none: the median must be at float precision.
TEST(ForwardPass, ComputesTheFormulas) {
    for (const bool odd : {false, true}) {
        Values differences;
        for (uint64_t seed = 1; seed <= 15; ++seed) {
            TinyShape shape{.layers = 1, .own_output = odd, .biases = odd};
            if (odd) shape.table_packing = shm::Packing::kF32;
            const TinyModel model(shape, seed);
            EngineFixture fixture(model.segment(), {});
            PlainModel plain(fixture.weights());
            const auto ids = random_ids(40, shape.vocab, seed);
            Values expected;
            for (const uint32_t id : ids)
                expected = plain.next(id);
            differences.push_back(relative_l2(expected, fixture.feed(0, ids)));
            EXPECT_LT(differences.back(), 0.05) << "seed " << seed;
        }
        std::sort(differences.begin(), differences.end());
        std::printf("relative L2: median %.2g, largest %.2g\n", differences[7], differences[14]);
        EXPECT_LT(differences[7], 1e-5);
    }
}

struct Kind {
    const char* name;
    TinyShape shape;
    KvType kv_type = KvType::kF32;
};

// Every family, every packing of linear layers, and what only some models have. Keys and values in
// fewer bits with one head size that is no multiple of 16 and with a window.
const Kind kKinds[] = {
    {"Bitnet", {.biases = true}},
    {"Llama",
     {.hidden = 64,
      .ffn = 96,
      .head_dim = 16,
      .family = "llama",
      .linear_packing = shm::Packing::kBlocks,
      .block_format = kernels::BlockFormat::kQ4_0}},
    {"LlamaInHalf", {.family = "llama", .linear_packing = shm::Packing::kF16}},
    {"Qwen2",
     {.biases = true,
      .family = "qwen2",
      .linear_packing = shm::Packing::kBF16,
      .table_packing = shm::Packing::kBF16}},
    {"Qwen3",
     {.hidden = 64,
      .ffn = 96,
      .head_dim = 16,
      .family = "qwen3",
      .linear_packing = shm::Packing::kBlocks,
      .table_packing = shm::Packing::kBlocks}},
    {"Qwen3Embedding", {.family = "qwen3", .input_norms = true}},
    {"Gemma3",
     {.layers = 4, .family = "gemma3", .sliding_window = 20, .linear_packing = shm::Packing::kF32}},
    {"Gemma3Embedding", {.family = "gemma3", .input_norms = true}},
    {"BitnetKvInt8", {.biases = true}, KvType::kInt8},
    {"Gemma3KvInt8", {.layers = 4, .family = "gemma3", .sliding_window = 20}, KvType::kInt8},
    {"Gemma3KvF16", {.layers = 4, .family = "gemma3", .sliding_window = 20}, KvType::kF16},
};

class Invariance : public ::testing::TestWithParam<Kind> {
  protected:
    const TinyModel model_{GetParam().shape, 42};
    const std::vector<uint32_t> ids_ = random_ids(100, 67, 5);
    const std::vector<float> expected_ =
        EngineFixture(model_.segment(),
                      {.kv_type = GetParam().kv_type, .isa = "scalar", .step_tokens_max = 128})
            .feed(0, ids_);
};

TEST_P(Invariance, OfChunks) {
    for (const uint32_t chunk : {1u, 2u, 7u, 31u, 32u, 33u, 64u}) {
        EngineFixture fixture(model_.segment(), {.kv_type = GetParam().kv_type});
        EXPECT_EQ(fixture.feed(0, ids_, 0, chunk), expected_) << "chunk " << chunk;
    }
}

TEST_P(Invariance, OfThreadsAndInstructionSets) {
    for (const kernels::KernelTable* table : kernels::usable_tables()) {
        for (const int threads : {1, 2, 5}) {
            EngineFixture fixture(
                model_.segment(),
                {.kv_type = GetParam().kv_type, .isa = table->name, .threads = threads});
            EXPECT_EQ(fixture.feed(0, ids_), expected_) << table->name << " " << threads;
        }
    }
}

TEST_P(Invariance, OfTheRowsBesideIt) {
    constexpr uint32_t kSlots = 6;
    EngineFixture fixture(
        model_.segment(),
        {.kv_type = GetParam().kv_type, .threads = 2, .slots = kSlots, .step_tokens_max = 256});
    // Slot 3 is the sequence; the others are other sequences at other lengths, prefilled in one
    // step.
    std::vector<Row> rows;
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
        const auto ids = slot == 3 ? ids_ : random_ids(5 + slot * 6, 67, 100 + slot);
        const size_t prefix = slot == 3 ? ids.size() - 1 : ids.size();
        for (uint32_t p = 0; p < prefix; ++p)
            rows.push_back(fixture.row(slot, ids[p], p));
    }
    fixture.engine().step(rows, {});
    rows.clear();
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
        const uint32_t position = slot == 3 ? 99 : 5 + slot * 6;
        rows.push_back(fixture.row(slot, slot == 3 ? ids_.back() : slot, position));
    }
    fixture.engine().step(rows, {});
    const auto logits = fixture.engine().logits_of(3);
    EXPECT_EQ(std::vector<float>(logits.begin(), logits.end()), expected_);
}

INSTANTIATE_TEST_SUITE_P(Models, Invariance, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

class OneModel : public ::testing::Test {
  protected:
    const TinyModel model_{TinyShape{.biases = true}, 42};
    const std::vector<uint32_t> ids_ = random_ids(100, 67, 5);
    const std::vector<float> expected_ =
        EngineFixture(model_.segment(), {.isa = "scalar", .step_tokens_max = 128}).feed(0, ids_);
};

TEST_F(OneModel, HalfPrecisionKeysAndValuesChangeLittle) {
    EngineFixture fixture(model_.segment(), {.kv_type = KvType::kF16});
    const auto half = fixture.feed(0, ids_);
    EXPECT_NE(half, expected_);
    EXPECT_LT(relative_l2(Values(expected_.begin(), expected_.end()), half), 0.2);
    EngineFixture chunked(model_.segment(), {.kv_type = KvType::kF16, .isa = "scalar"});
    EXPECT_EQ(chunked.feed(0, ids_, 0, 9), half);
}

TEST_F(OneModel, EightBitKeysAndValuesChangeLittle) {
    EngineFixture fixture(model_.segment(), {.kv_type = KvType::kInt8});
    const auto eight = fixture.feed(0, ids_);
    EXPECT_NE(eight, expected_);
    const double change = relative_l2(Values(expected_.begin(), expected_.end()), eight);
    std::printf("relative L2 of the change: %.3g\n", change);
    EXPECT_LT(change, 0.2);
}

TEST_F(OneModel, DrawsComeFromTheRowTheyName) {
    EngineFixture fixture(model_.segment(), {.threads = 2});
    std::vector<Row> rows;
    for (uint32_t p = 0; p < 64; ++p)
        rows.push_back(fixture.row(0, ids_[p], p));
    const SamplingParams greedy = {.temperature = 0, .wants_logprobs = true};
    std::vector<Drawn> drawn(64);
    std::vector<Draw> draws;  // more than one block of logits
    for (uint32_t p = 0; p < 64; ++p) {
        const bool is_score = p % 2 == 0 && p < 63;
        draws.push_back({p,
                         is_score,
                         is_score ? ids_[p + 1] : 0,
                         &greedy,
                         {std::span(ids_).first(p + 1), p + 1, {}, {}},
                         &drawn[p]});
    }
    fixture.engine().step(rows, draws);
    for (uint32_t p = 0; p < 64; ++p) {
        EngineFixture alone(model_.segment(), {});
        const auto logits = alone.feed(0, std::span(ids_).first(p + 1));
        ASSERT_TRUE(drawn[p].valid);
        ASSERT_EQ(drawn[p].token, draws[p].is_score ? ids_[p + 1] : test::argmax(logits));
        Scores scores;
        score_token(logits, scan_logits(logits).largest, drawn[p].token, 0, scores);
        ASSERT_EQ(drawn[p].scores.logprob, scores.logprob);
    }
}

}  // namespace
}  // namespace bitnetd::worker
