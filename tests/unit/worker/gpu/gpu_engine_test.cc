// Goal: a worker on a GPU gives what a worker on a CPU gives, bit for bit, for every family and
// packing, in any chunks and batches, with draws made at any place; and a device that fails ends
// the process with its words. Method: small random models on an emulated device whose kernels are
// the GPU's own sources, beside TransformerEngine with the scalar table. The device runs nothing
// before the engine waits, so that reading too early gives wrong numbers.
#include "worker/gpu/gpu_engine.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "tests/support/devices/gpu_fixture.h"
#include "tests/support/worker/engine_fixture.h"
#include "tests/support/worker/tiny_model.h"

namespace bitnetd::worker {
namespace {

using test::EngineFixture;
using test::GpuFixture;
using test::TinyModel;
using test::TinyShape;

std::vector<uint32_t> random_ids(size_t count, uint32_t vocab, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<uint32_t> ids(count);
    for (uint32_t& id : ids)
        id = static_cast<uint32_t>(random() % vocab);
    return ids;
}

struct Kind {
    const char* name;
    TinyShape shape;
    KvType kv_type = KvType::kF32;
    BlockInputs block_inputs = BlockInputs::kInt8;
};

const Kind kKinds[] = {
    {"Bitnet", {.biases = true}},
    {"Llama",
     {.hidden = 64,
      .ffn = 96,
      .head_dim = 16,
      .family = "llama",
      .linear_packing = shm::Packing::kBlocks,
      .block_format = kernels::BlockFormat::kQ4_0}},
    {"LlamaOfFloatInputs",
     {.hidden = 64,
      .ffn = 96,
      .head_dim = 16,
      .family = "llama",
      .linear_packing = shm::Packing::kBlocks},
     KvType::kF16,
     BlockInputs::kFloat},
    {"LlamaInHalf", {.own_output = true, .family = "llama", .linear_packing = shm::Packing::kF16}},
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
    {"Gemma3KvInt8",
     {.layers = 4, .family = "gemma3", .input_norms = true, .sliding_window = 20},
     KvType::kInt8},
};

class GpuEngineOf : public ::testing::TestWithParam<Kind> {
  protected:
    GpuFixture gpu(uint32_t slots = 1, uint32_t step_tokens_max = 64) const {
        return {model_.segment(),
                {.kv_type = GetParam().kv_type,
                 .slots = slots,
                 .step_tokens_max = step_tokens_max,
                 .block_inputs = GetParam().block_inputs}};
    }
    EngineFixture cpu(uint32_t slots = 1) const {
        return {model_.segment(),
                {.kv_type = GetParam().kv_type,
                 .isa = "scalar",
                 .slots = slots,
                 .step_tokens_max = 128,
                 .block_inputs = GetParam().block_inputs}};
    }

    const TinyModel model_{GetParam().shape, 42};
    const std::vector<uint32_t> ids_ = random_ids(45, 67, 5);
    const std::vector<float> expected_ = cpu().feed(0, ids_);
};

TEST_P(GpuEngineOf, AnyChunksGivesTheSameLogits) {
    GpuFixture fixture = gpu();
    for (const uint32_t chunk : {64u, 7u, 1u}) {
        EXPECT_EQ(fixture.feed(0, ids_, 0, chunk), expected_) << "chunk " << chunk;
    }
}

TEST_P(GpuEngineOf, AnyRowsBesideItGivesTheSameLogits) {
    constexpr uint32_t kSlots = 4;
    GpuFixture fixture = gpu(kSlots, 128);
    EngineFixture reference = cpu(kSlots);
    const auto step = [&](auto& on, const std::vector<std::array<uint32_t, 3>>& rows_of) {
        std::vector<Row> rows;
        for (const auto& [slot, token, position] : rows_of)
            rows.push_back(on.row(slot, token, position));
        on.engine().step(rows, {});
    };
    std::vector<std::array<uint32_t, 3>> prompts;
    std::vector<std::array<uint32_t, 3>> next;
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
        const auto ids = random_ids(4 + slot * 11, 67, 100 + slot);
        for (uint32_t p = 0; p < ids.size(); ++p)
            prompts.push_back({slot, ids[p], p});
        next.push_back({slot, slot + 3, static_cast<uint32_t>(ids.size())});
    }
    for (const auto& rows : {prompts, next}) {
        step(fixture, rows);
        step(reference, rows);
    }
    for (uint32_t row = 0; row < kSlots; ++row) {
        const auto expected = reference.engine().logits_of(row);
        const auto found = fixture.engine().logits_of(row);
        EXPECT_TRUE(std::ranges::equal(expected, found)) << "row " << row;
        EXPECT_TRUE(
            std::ranges::equal(reference.engine().hidden_of(row), fixture.engine().hidden_of(row)))
            << "row " << row;
    }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuEngineOf, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

class GpuEngineTest : public ::testing::Test {
  protected:
    static SamplingParams params_of(uint32_t row) {
        SamplingParams params = {.seed = 1000 + row, .temperature = 0.8f};
        switch (row % 8) {
            case 0:
                params.temperature = 0;
                break;
            case 1:
                params.top_k = 10;
                params.top_p = 0.9f;
                break;
            case 2:
                params.wants_logprobs = true;
                params.alternatives_count = 3;
                break;
            case 3:
                params.top_p = 0.7f;
                break;
            case 4:
                params.repetition_penalty = 1.3f;
                break;
            case 5:
                params.ignore_eos = true;
                break;
            case 6:
                params.ignore_eos = true;
                params.temperature = 0;
                break;
            default:
                break;  // plain
        }
        return params;
    }

    // Draws after every row of one step; every fifth is a score.
    template <typename Fixture>
    std::vector<Drawn> draw_all(Fixture& on) {
        std::vector<Row> rows;
        std::vector<Drawn> drawn(ids_.size());
        std::vector<SamplingParams> params;
        std::vector<Draw> draws;
        for (uint32_t p = 0; p < ids_.size(); ++p) {
            rows.push_back(on.row(0, ids_[p], p));
            params.push_back(params_of(p));
        }
        for (uint32_t p = 0; p < ids_.size(); ++p) {
            const bool is_score = p % 5 == 4;
            draws.push_back({p,
                             is_score,
                             is_score ? ids_[0] : 0,
                             &params[p],
                             {std::span(ids_).first(p + 1), 1 + p / 2, {}, ends_},
                             &drawn[p]});
        }
        on.engine().step(rows, draws);
        return drawn;
    }

    const std::vector<uint32_t> ends_ = {3, 11};
    const TinyModel model_{TinyShape{.layers = 1, .vocab = 300, .end_ids = {3, 11}}, 42};
    const std::vector<uint32_t> ids_ = random_ids(140, 300, 5);
};

// More draws than logits are made at once, each at its place.
TEST_F(GpuEngineTest, DrawsWhatTheCpuDraws) {
    EngineFixture cpu(model_.segment(), {.isa = "scalar", .step_tokens_max = 160});
    GpuFixture gpu(model_.segment(), {.step_tokens_max = 160});
    const auto expected = draw_all(cpu);
    const auto found = draw_all(gpu);
    for (size_t i = 0; i < ids_.size(); ++i) {
        ASSERT_TRUE(expected[i].valid);
        ASSERT_EQ(found[i].valid, expected[i].valid) << i;
        EXPECT_EQ(found[i].token, expected[i].token) << i;
        EXPECT_EQ(found[i].scores.logprob, expected[i].scores.logprob) << i;
        EXPECT_EQ(found[i].scores.alternatives_count, expected[i].scores.alternatives_count) << i;
    }
}

TEST_F(GpuEngineTest, WaitsOncePerStepAndAllocatesNothing) {
    GpuFixture gpu(model_.segment(), {.step_tokens_max = 16});
    const auto greedy = SamplingParams{.temperature = 0};
    const uint64_t allocations = gpu.device().allocations();
    Drawn drawn;
    for (uint32_t p = 0; p < 40; ++p) {
        const Row row = gpu.row(0, ids_[p], p);
        const Draw draw = {0,     false, 0, &greedy, {std::span(ids_).first(p + 1), 1, {}, ends_},
                           &drawn};
        const uint64_t waits = gpu.device().waits();
        const uint64_t uploaded = gpu.device().uploaded_bytes();
        gpu.engine().step({&row, 1}, {&draw, 1});
        EXPECT_EQ(gpu.device().waits(), waits + 1);
        // A row, a draw, and one page where a page begins.
        const uint64_t always = sizeof(kernels::cuda::StepRow) + sizeof(uint32_t) +
                                sizeof(kernels::cuda::Largest) + sizeof(kernels::cuda::PlainDraw);
        EXPECT_EQ(gpu.device().uploaded_bytes() - uploaded,
                  always + (p % kPageTokens == 0 ? sizeof(std::byte*) : 0));
    }
    EXPECT_EQ(gpu.device().allocations(), allocations);
}

// A sequence that takes over part of another's page goes on from a copy of it.
TEST_F(GpuEngineTest, CopiesPagesOnTheDevice) {
    GpuFixture gpu(model_.segment(), {.slots = 2});
    EngineFixture cpu(model_.segment(), {.isa = "scalar"});
    const auto head = std::span(ids_).first(20);
    gpu.feed(0, head);
    gpu.cache().pages().fill(0, 0, head);
    std::vector<uint32_t> other(head.begin(), head.end());
    other.push_back(7);
    ASSERT_GE(gpu.cache().pages().reuse_part(1, 0, other), 20u);
    gpu.cache().copy_pages();
    EXPECT_EQ(gpu.feed(1, other, 20), cpu.feed(0, other));
}

TEST_F(GpuEngineTest, RefusesDrawsFromWhatIsNoNumber) {
    TinyModel broken(TinyShape{.layers = 1, .vocab = 300}, 42);
    const auto& entry = broken.entry(shm::TensorPart::kOutputNorm, shm::kNoLayer);
    for (const float bad : {NAN, INFINITY}) {
        reinterpret_cast<float*>(broken.mutable_segment().data() + entry.offset)[1] = bad;
        GpuFixture gpu(broken.segment(), {.step_tokens_max = 160});
        for (const Drawn& drawn : draw_all(gpu))
            EXPECT_FALSE(drawn.valid) << bad;
    }
}

class GpuEngineDeathTest : public GpuEngineTest {
  protected:
    void run(test::EmulatedDevice::Faults faults) {
        GpuFixture gpu(model_.segment(), {.faults = std::move(faults)});
        gpu.feed(0, std::span(ids_).first(10), 0, 1);
    }
    // Of a fixture that has taken no step yet.
    uint64_t waits_at_start() const { return GpuFixture(model_.segment(), {}).device().waits(); }
};

TEST_F(GpuEngineDeathTest, ALostDeviceEndsTheProcess) {
    test::EmulatedDevice::Faults faults;
    faults.lost_at_wait = waits_at_start() + 4;
    EXPECT_EXIT(run(faults), ::testing::ExitedWithCode(test::kGpuLost),
                "lost: emulated launch: the device is lost");
}

TEST_F(GpuEngineDeathTest, AHungDeviceEndsTheProcess) {
    test::EmulatedDevice::Faults faults;
    faults.hangs_at_wait = waits_at_start() + 2;
    EXPECT_EXIT(run(faults), ::testing::ExitedWithCode(test::kGpuLost),
                "the GPU hangs: what it was given has not ended within 5000 ms");
}

}  // namespace
}  // namespace bitnetd::worker
