// Goal: the kernel that runs on AMX's tiles gives the reference's bits on every shape, and goes
//       through the tiles when it should, although no AMX is at hand.
// Method: the same source over emulated tiles (tests/support/amx) against the reference: more than
//       2000 random shapes with every tail, then the edges of its own limits one by one. Guards
//       around outputs; products of tiles are counted. The seed is printed; BITNETD_SEED=n replays
//       from it. Needs AVX-512BW, which what is around the tiles is written in.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/amx/emulated_table.h"
#include "worker/kernels/tables.h"
#include "worker/kernels/ternary_pack.h"

namespace bitnetd::kernels {
namespace {

constexpr int kShapes = 2200;
constexpr int64_t kGuard = 16;
constexpr float kUntouched = 77.0f;

uint64_t first_seed() {
    const char* replay = std::getenv("BITNETD_SEED");
    const uint64_t seed = replay ? std::strtoull(replay, nullptr, 10) : std::random_device{}();
    std::cout << "seed " << seed << " (BITNETD_SEED=" << seed << " replays it)\n";
    return seed;
}

class Random {
  public:
    explicit Random(uint64_t seed) : engine_(seed) {}

    int32_t in(int32_t low, int32_t high) {
        return std::uniform_int_distribution<int32_t>(low, high)(engine_);
    }
    bool one_in(int32_t n) { return in(1, n) == 1; }
    float real(float low, float high) {
        return std::uniform_real_distribution<float>(low, high)(engine_);
    }

  private:
    std::mt19937_64 engine_;
};

enum class Values { kRandom, kLargest };

// A product to compute, with the numbers for it.
struct Case {
    int32_t m, n, k;
    int64_t y_stride;
    std::vector<int8_t> q;
    std::vector<int32_t> q_sum;
    std::vector<float> x_scale;
    std::vector<uint8_t> w;
    float w_scale;

    Case(int32_t m_, int32_t n_, int32_t k_, Values values, Random& random)
        : m(m_), n(n_), k(k_), y_stride(n_ + random.in(0, 5)), w_scale(random.real(-2.0f, 2.0f)) {
        const int64_t padded = ternary_padded(k);
        q.resize(static_cast<size_t>(m * padded));
        for (int64_t i = 0; i < m; ++i) {
            const int sign = random.one_in(2) ? 1 : -1;
            int32_t sum = 0;
            for (int64_t t = 0; t < k; ++t) {
                const int value = values == Values::kLargest ? 127 * sign : random.in(-127, 127);
                q[static_cast<size_t>(i * padded + t)] = static_cast<int8_t>(value);
                sum += value;
            }
            q_sum.push_back(sum);
            x_scale.push_back(scale(random));
        }
        std::vector<int8_t> digits(static_cast<size_t>(k));
        for (int32_t j = 0; j < n; ++j) {
            const int constant = random.in(-1, 1);
            for (int8_t& digit : digits) {
                digit =
                    static_cast<int8_t>(values == Values::kLargest ? constant : random.in(-1, 1));
            }
            w.resize(w.size() + static_cast<size_t>(ternary_row_bytes(k)));
            pack_ternary_row(digits.data(), k,
                             w.data() + static_cast<int64_t>(j) * ternary_row_bytes(k));
        }
    }

    // Mostly what quantise_rows makes; some that only the divider can divide by.
    static float scale(Random& random) {
        if (random.one_in(40)) return std::ldexp(random.real(1.0f, 2.0f), random.in(-120, 23));
        return random.real(1.0f, 200.0f);
    }

    std::vector<float> run(TernaryGemm gemm) const {
        std::vector<float> y(static_cast<size_t>(m * y_stride + kGuard), kUntouched);
        gemm(m, n, static_cast<int32_t>(ternary_padded(k)), q.data(), q_sum.data(), x_scale.data(),
             w.data(), w_scale, y.data(), y_stride);
        return y;
    }
};

// Also what lies between the rows and behind the last must be as it was.
void expect_same(const Case& one) {
    const std::vector<float> got = one.run(amx_emulated::ternary_gemm);
    const std::vector<float> want = one.run(reference::kTable.ternary_gemm);
    for (size_t at = 0; at < want.size(); ++at) {
        ASSERT_EQ(std::memcmp(&got[at], &want[at], sizeof(float)), 0)
            << "m=" << one.m << " n=" << one.n << " k=" << one.k << " stride=" << one.y_stride
            << " at " << at << ": " << got[at] << " instead of " << want[at];
    }
}

// Products of tiles that a shape needs: each pair of 16 rows by each 64 columns.
uint64_t products_of(int32_t m, int32_t n, int32_t k) {
    const auto tiles = [](int64_t count, int64_t size) {
        return static_cast<uint64_t>((count + size - 1) / size);
    };
    return tiles(m, 16) * tiles(n, 16) * tiles(ternary_padded(k), 64);
}

class EmulatedAmx : public testing::Test {
  protected:
    void SetUp() override {
        if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
            !__builtin_cpu_supports("avx512vl")) {
            GTEST_SKIP() << "this CPU has no AVX-512BW, in which the kernel's tiles are filled";
        }
    }
};

TEST_F(EmulatedAmx, AgreesWithTheReference) {
    const uint64_t seed = first_seed();
    for (uint64_t i = 0; i < kShapes; ++i) {
        Random random(seed + i);
        const int32_t m = random.one_in(8) ? random.in(60, 300) : random.in(1, 70);
        const int32_t n = random.one_in(2) ? random.in(1, 20) : random.in(1, 100);
        const int32_t k = random.one_in(8) ? random.in(1000, 5000) : random.in(1, 1000);
        const bool is_small = int64_t{m} * n * k < 20'000'000;
        const Values values = random.one_in(5) ? Values::kLargest : Values::kRandom;
        expect_same(Case(m, n, is_small ? k : 300, values, random));
        ASSERT_FALSE(HasFatalFailure()) << "BITNETD_SEED=" << seed + i;
    }
}

// Every remainder of rows and weight rows by a tile and by two, and each count of blocks that makes
// chunks of different lengths.
TEST_F(EmulatedAmx, EveryTailIsRight) {
    Random random(1);
    for (int32_t m = 5; m <= 66; ++m)
        expect_same(Case(m, 33, 520, Values::kRandom, random));
    for (int32_t n = 1; n <= 66; ++n)
        expect_same(Case(17, n, 520, Values::kRandom, random));
    for (int32_t blocks = 1; blocks <= 9; ++blocks) {
        expect_same(Case(40, 70, blocks * kTernaryBlock, Values::kRandom, random));
        expect_same(Case(40, 70, blocks * kTernaryBlock - 255, Values::kRandom, random));
    }
}

// Where rows are cut into parts: more than 256, and fewer the longer the rows are.
TEST_F(EmulatedAmx, ManyRowsAndLongOnes) {
    Random random(2);
    for (const int32_t m : {255, 256, 257, 288, 289, 512, 513})
        expect_same(Case(m, 18, 700, Values::kRandom, random));
    for (const int32_t k : {4096, 4097, 8192, 16384, 32768})
        expect_same(Case(70, 5, k, Values::kRandom, random));
}

TEST_F(EmulatedAmx, TheLargestSumsAreExact) {
    Random random(3);
    for (const int32_t k : {256, 8192, 32768, 131072})
        expect_same(Case(33, 18, k, Values::kLargest, random));
}

// The tests above would also pass if every shape were left to the kernels for few rows.
TEST_F(EmulatedAmx, ManyRowsGoThroughTheTiles) {
    Random random(4);
    const auto products = [&random](int32_t m, int32_t n, int32_t k) {
        const Case one(m, n, k, Values::kRandom, random);
        const uint64_t before = amx_emulated::tile_products();
        one.run(amx_emulated::ternary_gemm);
        return amx_emulated::tile_products() - before;
    };
    for (const int32_t m : {5, 16, 17, 32, 33, 128, 300}) {
        for (const int32_t n : {1, 16, 17, 64})
            EXPECT_EQ(products(m, n, 1000), products_of(m, n, 1000)) << m << " " << n;
    }
    EXPECT_EQ(products(32, 32, 32768), products_of(32, 32, 32768));
    EXPECT_EQ(products(4, 32, 1000), 0u) << "few rows";
    EXPECT_EQ(products(32, 32, 32769), 0u) << "rows longer than the scratch holds";
}

// A row's result depends on that row alone: the same bits whatever is beside it.
TEST_F(EmulatedAmx, RowsDoNotDependOnTheBatch) {
    Random random(5);
    const Case whole(100, 40, 1300, Values::kRandom, random);
    const std::vector<float> want = whole.run(amx_emulated::ternary_gemm);
    const int64_t padded = ternary_padded(whole.k);
    for (const int32_t m : {1, 4, 5, 16, 31}) {
        for (int32_t i = 0; i + m <= whole.m; i += m) {
            std::vector<float> part(static_cast<size_t>(m * whole.y_stride), kUntouched);
            amx_emulated::ternary_gemm(m, whole.n, static_cast<int32_t>(padded),
                                       whole.q.data() + i * padded, whole.q_sum.data() + i,
                                       whole.x_scale.data() + i, whole.w.data(), whole.w_scale,
                                       part.data(), whole.y_stride);
            ASSERT_EQ(std::memcmp(part.data(), want.data() + i * whole.y_stride,
                                  part.size() * sizeof(float)),
                      0)
                << "m=" << m << " i=" << i;
        }
    }
}

// Quotients are made without the divider; each must be the one that it gives. Divisors with the
// fractions that round worst, and numerators of all sizes.
TEST_F(EmulatedAmx, QuotientsAreCorrectlyRounded) {
    Random random(first_seed());
    std::vector<float> divisors = {
        1.0f,           3.0f,           0x1p-60f,
        0x1p60f,        0x1.fffffep59f, 0x1.fffffep-61f,
        0x1.000002p60f, 1.27e7f,        0.0f,
        -5.0f,          0x1p-149f,      std::numeric_limits<float>::infinity()};
    for (int i = 0; i < 30'000; ++i) {
        const float fraction = random.one_in(3)   ? 2.0f - std::ldexp(1.0f, -random.in(1, 23))
                               : random.one_in(2) ? 1.0f + std::ldexp(1.0f, -random.in(1, 23))
                                                  : random.real(1.0f, 2.0f);
        divisors.push_back(std::ldexp(fraction, random.in(-64, 64)));
    }
    for (const float b : divisors) {
        float a[16];
        float got[16];
        for (int i = 0; i < 16; ++i)
            a[i] = static_cast<float>(random.in(-(1 << 24), 1 << 24) >> (i < 8 ? 0 : 2 * (i - 8)));
        a[3] = 0.0f;
        a[5] = static_cast<float>(127 << 17);
        amx_emulated::divide_16(a, b, got);
        for (int i = 0; i < 16; ++i) {
            const float want = a[i] / b;
            if (std::isnan(want)) {
                ASSERT_TRUE(std::isnan(got[i])) << a[i] << " / " << b;
            } else {
                ASSERT_EQ(std::memcmp(&got[i], &want, sizeof want), 0) << a[i] << " / " << b;
            }
        }
    }
}

}  // namespace
}  // namespace bitnetd::kernels
