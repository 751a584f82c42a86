// Goal: the output screen never rules out a logit that belongs to the largest, leaves the others
// exactly as the output matrix gives them, and so every draw takes the same token as from all
// logits; and it does rule most of them out. Method: random matrices, inputs and parameters by
// seed, on every kernel table of this CPU; among them matrices made to fool a bound: rows that
// differ in their last bit, rows of zeros, rows that eight bits cannot hold, and inputs that are
// not finite.
#include "worker/model/output_screen.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "common/quant/encode.h"
#include "common/quant/float_rows.h"
#include "worker/kernels/dispatch.h"
#include "worker/prepare/pack_screen.h"
#include "worker/sampler/sampler.h"

namespace bitnetd::worker {
namespace {

constexpr float kRuledOut = -std::numeric_limits<float>::infinity();

enum class Kind { kNormal, kLastBits, kTwins, kScaled, kZeros, kHuge, kCount };

// An output matrix with its screen, as a weights view.
class Model {
  public:
    Model(Kind kind, shm::Packing packing, uint32_t vocab, uint32_t hidden, std::mt19937_64& random)
        : values_(size_t{vocab} * hidden), errors_(2 * vocab) {
        std::normal_distribution<float> normal(0, 0.05f);
        for (float& value : values_)
            value = normal(random);
        for (uint32_t row = 1; row < vocab; ++row)
            change(kind, row, hidden, random);
        store(packing);
        codes_ = AlignedArray<std::byte>(
            static_cast<size_t>(kernels::block_matrix_bytes(kScreenFormat, vocab, hidden)));
        std::fill(codes_.span().begin(), codes_.span().end(), std::byte{0});
        ScreenPacker packer(hidden);
        for (uint32_t i = 0; i < vocab; ++i) {
            packer.pack(std::span<const float>(values_).subspan(size_t{i} * hidden, hidden), i,
                        codes_.data(), std::span(errors_).subspan(2 * size_t{i}).first<2>());
        }

        view.header.vocab = vocab;
        view.header.hidden = hidden;
        const auto outputs = static_cast<int32_t>(vocab);
        const auto inputs = static_cast<int32_t>(hidden);
        view.output = {
            .weights = bytes_.data(), .packing = packing, .outputs = outputs, .inputs = inputs};
        view.screen.codes = {.weights = codes_.data(),
                             .packing = shm::Packing::kBlocks,
                             .block_format = kScreenFormat,
                             .outputs = outputs,
                             .inputs = inputs};
        view.screen.errors = errors_.data();
    }

    // What eight bits lose of a row.
    std::vector<float> error_of(uint32_t index) const {
        const auto whole = row(index);
        std::vector<std::byte> bytes(whole.size() / 32 * 34);
        std::vector<float> error(whole.size());
        if (!quant::encode_floats(quant::Type::kQ8_0, whole, bytes).ok()) return error;
        quant::decode_floats(quant::Type::kQ8_0, bytes, error);
        for (size_t t = 0; t < error.size(); ++t)
            error[t] = whole[t] - error[t];
        return error;
    }

    std::span<const float> row(uint32_t index) const {
        return std::span(values_).subspan(size_t{index} * view.header.hidden, view.header.hidden);
    }

    WeightsView view;

  private:
    void change(Kind kind, uint32_t row, uint32_t hidden, std::mt19937_64& random) {
        float* to = values_.data() + size_t{row} * hidden;
        const float* from = values_.data() + random() % row * hidden;
        const size_t at = random() % hidden;
        switch (kind) {
            case Kind::kTwins:  // but for the rounding to eight bits, which is as good as random
                for (uint32_t t = 0; t < hidden; ++t)
                    to[t] = from[t] * (1 + 0x1p-8f * static_cast<float>(random() % 3));
                break;
            case Kind::kLastBits:
                std::copy_n(from, hidden, to);
                to[at] *= 1 + 0x1p-7f * static_cast<float>(random() % 3);
                break;
            case Kind::kScaled:
                for (uint32_t t = 0; t < hidden; ++t)
                    to[t] = from[t] * 1.001f;
                break;
            case Kind::kZeros:
                if (random() % 3 == 0) std::fill_n(to, hidden, 0.0f);
                break;
            case Kind::kHuge:
                if (random() % 5 == 0) to[at] = 3e9f;
                break;
            default:
                break;
        }
    }

    // In the packing, and the values as it rounds them.
    void store(shm::Packing packing) {
        const quant::Type type = packing == shm::Packing::kF32   ? quant::Type::kF32
                                 : packing == shm::Packing::kF16 ? quant::Type::kF16
                                                                 : quant::Type::kBF16;
        bytes_ = AlignedArray<std::byte>(values_.size() * (type == quant::Type::kF32 ? 4 : 2));
        if (!quant::encode_floats(type, values_, bytes_.span()).ok()) std::abort();
        const auto& kernels = *kernels::find("scalar");
        const auto count = static_cast<int64_t>(values_.size());
        if (packing == shm::Packing::kF16) {
            kernels.f16_to_f32(count, reinterpret_cast<const uint16_t*>(bytes_.data()),
                               values_.data());
        } else if (packing == shm::Packing::kBF16) {
            kernels.bf16_to_f32(count, reinterpret_cast<const kernels::Bf16*>(bytes_.data()),
                                values_.data());
        }
    }

    std::vector<float> values_;
    std::vector<float> errors_;
    AlignedArray<std::byte> bytes_;
    AlignedArray<std::byte> codes_;
};

double length_of(std::span<const float> values) {
    double sum = 0;
    for (const float value : values)
        sum += double{value} * value;
    return std::sqrt(sum);
}

// Points at a row, so that it and its twins have the largest logits, and along what eight bits lose
// of it, so that the screen is as wrong about that row as it can be.
void fool(const Model& model, std::span<float> x, uint32_t index, float sign) {
    const auto row = model.row(index);
    const std::vector<float> error = model.error_of(index);
    const double length = length_of(error);
    if (length == 0) return;
    const auto along = sign * static_cast<float>(20 * length_of(row) / length);
    for (size_t t = 0; t < x.size(); ++t)
        x[t] = 3 * row[t] + along * error[t];
}

void fill_input(const Model& model, std::span<float> x, std::mt19937_64& random) {
    std::normal_distribution<float> normal(0, 1);
    const auto index = static_cast<uint32_t>(random() % model.view.header.vocab);
    const uint64_t how = random() % 16;
    for (float& value : x)
        value = how == 0 ? 0 : normal(random);
    if (how == 1) x[random() % x.size()] = 300;
    if (how >= 4 && how < 8) {
        for (size_t t = 0; t < x.size(); ++t)
            x[t] += 20 * model.row(index)[t];
    }
    if (how >= 8) fool(model, x, index, how % 2 == 0 ? 1.0f : -1.0f);
}

SamplingParams random_params(std::mt19937_64& random) {
    SamplingParams params;
    params.seed = random();
    params.temperature = random() % 2 == 0 ? 0.0f : 0.9f;
    params.top_k = 1 + static_cast<uint32_t>(random() % 40);
    params.min_p = random() % 3 == 0 ? 0.05f : 0.0f;
    params.top_p = random() % 3 == 0 ? 0.8f : 1.0f;
    params.typical_p = random() % 4 == 0 ? 0.7f : 1.0f;
    params.ignore_eos = random() % 2 == 0;
    return params;
}

struct Counts {
    uint64_t logits = 0;
    uint64_t ruled_out = 0;
};

class Case {
  public:
    Case(const kernels::KernelTable& kernels, ThreadPool& pool, uint64_t seed, Kind kind)
        : kernels_(kernels), random_(seed), phases_(pool, 1000) {
        constexpr shm::Packing kPackings[] = {shm::Packing::kF16, shm::Packing::kBF16,
                                              shm::Packing::kF32};
        const bool holds_huge = kind == Kind::kHuge;  // half precision does not
        model_.emplace(kind, holds_huge ? shm::Packing::kF32 : kPackings[random_() % 3],
                       static_cast<uint32_t>(1 + random_() % 300),
                       static_cast<uint32_t>(32 * (1 + random_() % 5)), random_);
    }

    void run(Counts& counts) {
        constexpr uint32_t kRows = 3;
        const uint32_t vocab = model_->view.header.vocab;
        const uint32_t hidden = model_->view.header.hidden;
        AlignedArray<float> x(size_t{kRows} * hidden);
        std::vector<SamplingParams> params(kRows);
        const uint32_t end_ids[] = {0, vocab - 1};
        const DrawContext context{ids_, 1, {}, end_ids};
        uint32_t largest[kRows];
        for (uint32_t i = 0; i < kRows; ++i) {
            fill_input(*model_, x.span().subspan(size_t{i} * hidden, hidden), random_);
            params[i] = random_params(random_);
            largest[i] = Sampler::largest_needed(params[i], context);
            ASSERT_GE(largest[i], 1u);
        }
        AlignedArray<float> screened(size_t{kRows} * vocab);
        AlignedArray<float> all(size_t{kRows} * vocab);
        OutputScreen screen(model_->view, kernels_, phases_, kRows);
        screen.logits(largest, x.data(), screened.data());
        multiply_floats(kernels_, kRows, model_->view.output, {0, vocab}, x.data(), all.data(),
                        vocab);
        for (uint32_t i = 0; i < kRows; ++i) {
            const auto some = screened.span().subspan(size_t{i} * vocab, vocab);
            const auto every = all.span().subspan(size_t{i} * vocab, vocab);
            check_logits(some, every, largest[i], counts);
            check_draw(params[i], context, some, every);
        }
    }

  private:
    static void check_logits(std::span<const float> some, std::span<const float> all,
                             uint32_t largest, Counts& counts) {
        std::vector<float> sorted(all.begin(), all.end());
        std::sort(sorted.begin(), sorted.end(), std::greater<float>());
        const float least = sorted[std::min<size_t>(largest, sorted.size()) - 1];
        for (size_t id = 0; id < all.size(); ++id) {
            ++counts.logits;
            if (some[id] == kRuledOut) {
                ++counts.ruled_out;
                ASSERT_LT(all[id], least) << "id " << id;
            } else {
                ASSERT_EQ(std::memcmp(&some[id], &all[id], sizeof(float)), 0) << "id " << id;
            }
        }
    }

    static void check_draw(const SamplingParams& params, const DrawContext& context,
                           std::span<const float> some, std::span<const float> all) {
        Sampler sampler(static_cast<uint32_t>(all.size()));
        Drawn from_some;
        Drawn from_all;
        sampler.draw(params, context, some, LogitsKind::kLargest, from_some);
        sampler.draw(params, context, all, LogitsKind::kAll, from_all);
        ASSERT_EQ(from_some.valid, from_all.valid);
        if (!from_all.valid) return;
        ASSERT_EQ(from_some.token, from_all.token);
    }

    const kernels::KernelTable& kernels_;
    std::mt19937_64 random_;
    Phases phases_;
    std::optional<Model> model_;
    std::vector<uint32_t> ids_ = {1, 2, 3};
};

std::unique_ptr<ThreadPool> two_threads() {
    auto pool = ThreadPool::create({{0, 0}, false, 0});
    if (!pool.ok()) std::abort();
    return std::move(pool).value();
}

TEST(OutputScreen, DrawsAreThoseOfAllLogits) {
    const auto pool = two_threads();
    for (const kernels::KernelTable* kernels : kernels::usable_tables()) {
        Counts normal;
        for (uint64_t seed = 0; seed < 600; ++seed) {
            SCOPED_TRACE(std::string(kernels->name) + ", seed " + std::to_string(seed));
            const auto kind = static_cast<Kind>(seed % static_cast<uint64_t>(Kind::kCount));
            Counts others;
            Case(*kernels, *pool, seed, kind).run(kind == Kind::kNormal ? normal : others);
            if (::testing::Test::HasFatalFailure()) return;
        }
        EXPECT_GT(normal.ruled_out, normal.logits / 2) << kernels->name;
    }
}

TEST(OutputScreen, WhatIsNotFiniteRulesNothingOut) {
    const auto pool = two_threads();
    Phases phases(*pool, 1000);
    const kernels::KernelTable& kernels = kernels::select("auto");
    std::mt19937_64 random(7);
    const Model model(Kind::kNormal, shm::Packing::kF16, 100, 64, random);
    OutputScreen screen(model.view, kernels, phases, 1);
    for (const float wrong : {NAN, INFINITY, -INFINITY, 3e38f}) {
        AlignedArray<float> x(64);
        std::fill_n(x.data(), 64, 1.0f);
        x.data()[5] = wrong;
        AlignedArray<float> some(100);
        AlignedArray<float> all(100);
        const uint32_t largest = 1;
        screen.logits({&largest, 1}, x.data(), some.data());
        multiply_floats(kernels, 1, model.view.output, {0, 100}, x.data(), all.data(), 100);
        Sampler sampler(100);
        Drawn from_some;
        Drawn from_all;
        const SamplingParams greedy{.temperature = 0};
        sampler.draw(greedy, {}, some.span(), LogitsKind::kLargest, from_some);
        sampler.draw(greedy, {}, all.span(), LogitsKind::kAll, from_all);
        EXPECT_EQ(from_some.valid, from_all.valid) << wrong;
        EXPECT_EQ(from_some.token, from_all.token) << wrong;
    }
}

TEST(OutputScreen, IsAskedOnlyWhereAFewLogitsDecide) {
    const uint32_t end_ids[] = {1, 2};
    const uint32_t ids[] = {5};
    const DrawContext context{ids, 1, {}, end_ids};
    const auto needed = [&](SamplingParams params) {
        return Sampler::largest_needed(params, context);
    };
    EXPECT_EQ(needed({.temperature = 0}), 1u);
    EXPECT_EQ(needed({.temperature = 0, .ignore_eos = true}), 3u);
    EXPECT_EQ(needed({.temperature = 1, .top_k = 40}), 40u);
    EXPECT_EQ(needed({.temperature = 1}), 0u);
    EXPECT_EQ(needed({.temperature = 1, .min_p = 0.1f}), 0u);
    EXPECT_EQ(needed({.temperature = 0, .wants_logprobs = true}), 0u);
    EXPECT_EQ(needed({.temperature = 0, .repetition_penalty = 1.1f}), 0u);
    const shm::LogitBias bias[] = {{3, 1.0f}};
    EXPECT_EQ(Sampler::largest_needed({.temperature = 0}, {ids, 1, bias, end_ids}), 0u);
}

}  // namespace
}  // namespace bitnetd::worker
