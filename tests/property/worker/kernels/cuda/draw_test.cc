// Goal: the largest logits and the draws that the device finds are those of worker/sampler, in any
//       vocabulary: equal logits by lower id, NaN and infinities seen, masked ids never drawn.
// Method: random rows over the emulation (smooth, or with few values so that most are equal, zeros
//       of both signs among them), beside a sort and beside Sampler itself.
#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/property/worker/kernels/cuda/random_shapes.h"
#include "tests/support/cuda/emulated_table.h"
#include "tests/support/cuda/stream.h"
#include "worker/sampler/sampler.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(int32_t vocab, Random& random) {
    std::vector<float> logits(static_cast<size_t>(vocab));
    const bool is_coarse = random.one_in(2);
    const float spread = random.one_in(4) ? 40.0f : 4.0f;
    for (float& logit : logits) {
        logit = random.real(spread);
        if (is_coarse) logit = std::round(logit / spread * 3.0f);  // -0 and 0 among them
    }
    return logits;
}

int32_t random_vocab(Random& random) {
    return random.one_in(4) ? random.in(1, 40) : random.in(41, 9000);
}

// By value, then lower id; none where one is not finite, as the sampler has it.
std::vector<uint32_t> sorted(const float* logits, int32_t vocab, uint32_t wanted) {
    if (std::any_of(logits, logits + vocab, [](float z) { return !std::isfinite(z); })) return {};
    std::vector<uint32_t> ids(static_cast<size_t>(vocab));
    std::iota(ids.begin(), ids.end(), 0u);
    std::stable_sort(ids.begin(), ids.end(),
                     [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
    ids.resize(std::min<size_t>(wanted, ids.size()));
    return ids;
}

void expect_largest(const cuda::Largest& got, const float* logits, int32_t vocab) {
    const std::vector<uint32_t> want = sorted(logits, vocab, got.wanted);
    ASSERT_EQ(got.count, want.size());
    for (size_t n = 0; n < want.size(); ++n) {
        ASSERT_EQ(got.ids[n], want[n]) << "place " << n;
        ASSERT_TRUE(same_float(got.logits[n], logits[want[n]])) << "place " << n;
    }
}

TEST(CudaLargest, IsThatOfASort) {
    for_random_shapes(400, [](Random& random) {
        const int32_t m = random.in(1, 3);
        const int32_t vocab = random_vocab(random);
        std::vector<float> logits = random_logits(m * vocab, random);
        if (random.one_in(4)) {
            constexpr float kOdd[] = {kInfinity, -kInfinity,
                                      std::numeric_limits<float>::quiet_NaN()};
            logits[random.next() % logits.size()] = kOdd[random.in(0, 2)];
        }
        std::vector<cuda::Largest> got(static_cast<size_t>(m));
        for (cuda::Largest& one : got) {
            one = {};
            one.wanted =
                static_cast<uint32_t>(random.one_in(2) ? random.in(0, 3) : random.in(4, 128));
            one.count = 77;
        }
        CUstream_st stream;
        table().largest(&stream, m, vocab, logits.data(), got.data());
        for (int32_t i = 0; i < m; ++i) {
            const cuda::Largest& one = got[static_cast<size_t>(i)];
            if (one.wanted == 0) {
                ASSERT_EQ(one.count, 77u) << "a row that nobody asked for";
            } else {
                expect_largest(one, logits.data() + int64_t{i} * vocab, vocab);
            }
        }
    });
}

// What the CPU's sampler draws from the same logits.
worker::Drawn drawn_by_sampler(const cuda::PlainDraw& draw, std::span<const float> logits) {
    worker::SamplingParams params;
    params.seed = draw.seed;
    params.temperature = draw.temperature;
    params.ignore_eos = draw.masked_count > 0;
    const std::vector<uint32_t> before(draw.position);
    const worker::DrawContext context{.ids = before,
                                      .prompt_count = draw.position,
                                      .bias = {},
                                      .end_ids = {draw.masked, draw.masked_count}};
    worker::Sampler sampler(static_cast<uint32_t>(logits.size()));
    worker::Drawn drawn;
    sampler.draw(params, context, logits, worker::LogitsKind::kAll, drawn);
    return drawn;
}

cuda::PlainDraw random_draw(int32_t vocab, Random& random) {
    cuda::PlainDraw draw{};
    constexpr float kTemperatures[] = {0.0f, 1e-30f, 0.1f, 0.7f, 1.0f, 2.0f, 50.0f};
    draw.temperature = kTemperatures[random.in(0, 6)];
    draw.position = static_cast<uint32_t>(random.in(0, 5000));
    draw.seed = random.next();
    if (random.one_in(2)) draw.masked_count = static_cast<uint32_t>(random.in(1, 32));
    for (uint32_t i = 0; i < draw.masked_count; ++i)
        draw.masked[i] = static_cast<uint32_t>(random.in(0, vocab - 1));
    draw.token = 77;
    draw.valid = 77;
    return draw;
}

TEST(CudaDraw, IsTheSamplers) {
    for_random_shapes(400, [](Random& random) {
        const int32_t m = random.in(1, 3);
        const int32_t vocab = random_vocab(random);
        std::vector<float> logits = random_logits(m * vocab, random);
        if (random.one_in(5)) {
            constexpr float kOdd[] = {kInfinity, -kInfinity,
                                      std::numeric_limits<float>::quiet_NaN()};
            logits[random.next() % logits.size()] = kOdd[random.in(0, 2)];
        }
        std::vector<cuda::PlainDraw> draws;
        for (int32_t i = 0; i < m; ++i)
            draws.push_back(random_draw(vocab, random));
        CUstream_st stream;
        table().draw(&stream, m, vocab, logits.data(), draws.data());
        for (size_t i = 0; i < draws.size(); ++i) {
            const cuda::PlainDraw& draw = draws[i];
            if (draw.temperature == 0) {
                ASSERT_EQ(draw.valid, 77u) << "a row that nobody draws from";
                continue;
            }
            const auto count = static_cast<size_t>(vocab);
            const worker::Drawn want =
                drawn_by_sampler(draw, std::span(logits).subspan(i * count, count));
            ASSERT_EQ(draw.valid, want.valid ? 1u : 0u);
            if (want.valid) {
                ASSERT_EQ(draw.token, want.token);
            }
        }
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
