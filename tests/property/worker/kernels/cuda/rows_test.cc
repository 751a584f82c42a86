// Goal: what the GPU does to rows of floats (norm, rounding, gate, sum) gives the reference's bits.
// Method: random odd shapes over the emulation, each with another order of threads, values in
//       place or not, rows taken by index; then what random values do not reach: means so near to
//       the middle of two floats that the sum's order decides, zeros, tiny and huge values.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/property/worker/kernels/cuda/shapes.h"

namespace bitnetd::kernels::cuda_emulated {
namespace {

constexpr const KernelTable& kReference = reference::kTable;

void round_by_reference(int32_t m, int32_t k, const float* x, cuda::Rounding rounding,
                        RoundedRows& to) {
    if (rounding == cuda::Rounding::kRows) {
        kReference.quantise_rows(m, k, x, k, to.values.data(), to.scales.data(), to.sums.data());
    } else if (rounding == cuda::Rounding::kBlocks) {
        kReference.quantise_blocks(m, k, x, k, to.values.data(), to.scales.data(), to.sums.data());
    }
}

cuda::Rounding any_rounding(Random& random) {
    return static_cast<cuda::Rounding>(random.in(0, 2));
}

// Blocks are of 32 columns.
int32_t any_columns(Random& random, cuda::Rounding rounding, int32_t most) {
    const int32_t k = random.in(1, most);
    return rounding == cuda::Rounding::kBlocks ? (k + 31) / 32 * 32 : k;
}

void check_norm(Random& random, int32_t m, int32_t k, cuda::Rounding rounding,
                const std::vector<float>& x, bool has_from) {
    CUstream_st stream;
    const auto rows_in = static_cast<int32_t>(x.size() / static_cast<size_t>(k));
    const std::vector<float> weight = reals(random, k);
    const float eps = random.one_in(2) ? 1e-5f : 1e-6f;
    std::vector<uint32_t> from;
    std::vector<float> gathered;
    for (int32_t i = 0; i < m; ++i) {
        const int32_t row = has_from ? random.in(0, rows_in - 1) : i;
        from.push_back(static_cast<uint32_t>(row));
        gathered.insert(gathered.end(), x.begin() + int64_t{row} * k,
                        x.begin() + int64_t{row + 1} * k);
    }
    std::vector<float> want(gathered.size());
    kReference.rms_norm(m, k, gathered.data(), k, weight.data(), eps, want.data(), k);
    RoundedRows want_rounded(m, k);
    round_by_reference(m, k, want.data(), rounding, want_rounded);

    std::vector<float> in = x;
    std::vector<float> out(want.size());
    const bool in_place = !has_from && random.one_in(2);
    RoundedRows rounded(m, k);
    table().rms_norm(&stream, m, k, in.data(), has_from ? from.data() : nullptr, weight.data(), eps,
                     in_place ? in.data() : out.data(), rounding, rounded.view());
    ASSERT_TRUE(same(in_place ? in : out, want)) << "m=" << m << " k=" << k;
    ASSERT_TRUE(rounded == want_rounded) << "m=" << m << " k=" << k;
}

TEST(CudaRows, NormAndItsRoundingAreTheReferences) {
    for_random_shapes(500, [](Random& random) {
        const bool has_from = random.one_in(4);
        const int32_t m = random.in(1, 5);
        const cuda::Rounding rounding = any_rounding(random);
        const int32_t k = any_columns(random, rounding, random.one_in(10) ? 9000 : 700);
        const int32_t rows_in = has_from ? random.in(1, 9) : m;
        const float magnitude = std::ldexp(1.0f, random.in(-20, 20));
        check_norm(random, m, k, rounding, reals(random, int64_t{rows_in} * k, magnitude),
                   has_from);
    });
}

// With few bits in each value the mean of the squares is often exactly between two floats.
TEST(CudaRows, MeansBetweenTwoFloatsAreRoundedAsTheReferenceDoes) {
    for_random_shapes(300, [](Random& random) {
        const int32_t k = 1 << random.in(0, 9);
        std::vector<float> x(static_cast<size_t>(k));
        for (float& value : x)
            value = 1.0f + static_cast<float>(2 * random.in(0, 2047) + 1) * 0x1p-12f;
        check_norm(random, 1, k, cuda::Rounding::kRows, x, false);
    });
    // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24, a tie.
    Random random(1);
    check_norm(random, 1, 64, cuda::Rounding::kRows, std::vector<float>(64, 1.0f + 0x1p-12f),
               false);
}

// One chain of the reference's sum has a large value first and then small ones that are lost one by
// one; added up before, they would lift the mean over the middle of two floats.
TEST(CudaRows, TheOrderOfTheSumIsTheReferencesWhereItMatters) {
    constexpr int32_t kColumns = 4096;
    std::vector<float> x(kColumns, 0.0f);
    for (size_t t = 16; t < kColumns; t += 16)
        x[t] = 0x1p-21f;
    double others = 0;
    for (size_t t = 16; t < kColumns; t += 16)
        others += double{x[t]} * x[t];
    int means_that_differ = 0;
    for (int odd = 1; odd < 1024; odd += 32) {
        x[0] = 64.0f * (1.0f + static_cast<float>(odd) * 0x1p-12f);
        const double first = double{x[0]} * x[0];
        ASSERT_EQ(first + double{x[16]} * x[16], first);
        means_that_differ +=
            static_cast<float>((others + first) / kColumns) != static_cast<float>(first / kColumns);
        Random random(static_cast<uint64_t>(odd));
        check_norm(random, 1, kColumns, cuda::Rounding::kNone, x, false);
    }
    EXPECT_GE(means_that_differ, 10);
}

TEST(CudaRows, ExtremeRowsAreTheReferences) {
    constexpr float kTiny = std::numeric_limits<float>::denorm_min();
    constexpr float kHuge = std::numeric_limits<float>::max();
    for (const float value : {0.0f, -0.0f, kTiny, 1e-30f, 1e-6f, 1e15f, kHuge}) {
        for (const int32_t k : {1, 31, 32, 96, 256, 2047, 2048, 2080}) {
            for (const auto rounding :
                 {cuda::Rounding::kNone, cuda::Rounding::kRows, cuda::Rounding::kBlocks}) {
                if (rounding == cuda::Rounding::kBlocks && k % 32 != 0) continue;
                Random random(static_cast<uint64_t>(k));
                std::vector<float> x(static_cast<size_t>(k), value);
                x.back() = -value;
                check_norm(random, 1, k, rounding, x, false);
                if (HasFatalFailure()) FAIL() << value << " k=" << k;
            }
        }
    }
}

TEST(CudaRows, RoundingIsTheReferences) {
    for_random_shapes(300, [](Random& random) {
        CUstream_st stream;
        const auto rounding = static_cast<cuda::Rounding>(random.in(1, 2));
        const int32_t m = random.in(1, 6);
        const int32_t k = any_columns(random, rounding, random.one_in(10) ? 9000 : 700);
        std::vector<float> x = reals(random, int64_t{m} * k, std::ldexp(1.0f, random.in(-30, 30)));
        // Ties between two codes, and blocks of zeros.
        if (random.one_in(4)) {
            for (float& value : x)
                value = static_cast<float>(random.in(-254, 254)) * 0.5f;
            x[0] = 127.0f;
        }
        if (random.one_in(4)) std::fill_n(x.begin(), std::min(k, 32), 0.0f);
        RoundedRows want(m, k);
        round_by_reference(m, k, x.data(), rounding, want);
        RoundedRows got(m, k);
        table().round(&stream, m, k, x.data(), rounding, got.view());
        ASSERT_TRUE(got == want) << " m=" << m << " k=" << k;
    });
}

// An infinity or a NaN shows in its block's factor, and only there.
TEST(CudaRows, BlocksShowWhatIsNotFinite) {
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
        CUstream_st stream;
        std::vector<float> x(96, 1.0f);
        x[40] = bad;
        RoundedRows got(1, 96);
        table().round(&stream, 1, 96, x.data(), cuda::Rounding::kBlocks, got.view());
        RoundedRows want(1, 96);
        round_by_reference(1, 96, x.data(), cuda::Rounding::kBlocks, want);
        EXPECT_EQ(got.scales[0], want.scales[0]);
        EXPECT_TRUE(std::isnan(got.scales[1]));
        EXPECT_EQ(got.scales[2], want.scales[2]);
        EXPECT_EQ(got.values, want.values);
        EXPECT_EQ(got.sums, want.sums);
    }
}

TEST(CudaRows, GatesAndSumsAreTheReferences) {
    for_random_shapes(300, [](Random& random) {
        CUstream_st stream;
        const int32_t count = random.in(1, 1500);
        const auto gate = static_cast<cuda::Gate>(random.in(0, 2));
        const std::vector<float> up = reals(random, count);
        std::vector<float> got = reals(random, count, std::ldexp(1.0f, random.in(-4, 8)));
        std::vector<float> want = got;
        const GatedActivation entries[] = {kReference.relu2_gate, kReference.silu_gate,
                                           kReference.gelu_gate};
        entries[static_cast<int>(gate)](count, want.data(), up.data());
        table().gate(&stream, count, gate, got.data(), up.data());
        ASSERT_TRUE(same(got, want));
        kReference.add_in_place(count, up.data(), want.data());
        table().add(&stream, count, up.data(), got.data());
        ASSERT_TRUE(same(got, want));
    });
}

}  // namespace
}  // namespace bitnetd::kernels::cuda_emulated
