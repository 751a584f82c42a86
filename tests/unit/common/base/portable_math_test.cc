// Goal: exp, log, sin, cos and pow are within 1 ulp of the exact value over the range they promise,
//       behave at the edges, and give the same bits on every machine.
// Method: random arguments (seed printed, BITNETD_SEED replays it), densely where cancellation is
//       worst, against 80-bit libm, whose own error is far below an ulp of double; and a digest of
//       many results, pinned here, that any CPU or compiler must reproduce.
#include "common/base/portable_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <random>

namespace bitnetd {
namespace {

constexpr double kUlpMax = 1.0;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How far `got` is from `want`, in units of the last place of double at `want`.
double error_in_ulps(double got, long double want) {
    const double size = std::fabs(static_cast<double>(want));
    const double unit = size < 0x1p-1022 ? 0x1p-1074 : std::nextafter(size, kInfinity) - size;
    return static_cast<double>(std::fabs((static_cast<long double>(got) - want) / unit));
}

class PortableMath : public ::testing::Test {
  protected:
    static constexpr int kRounds = 200'000;

    void SetUp() override {
        const char* replay = std::getenv("BITNETD_SEED");
        const uint64_t seed = replay ? std::strtoull(replay, nullptr, 10) : std::random_device{}();
        std::cout << "seed " << seed << " (BITNETD_SEED=" << seed << " replays it)\n";
        random_.seed(seed);
    }
    double within(double low, double high) {
        return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
    }
    int integer(int low, int high) {
        return low + static_cast<int>(random_() % static_cast<uint64_t>(high - low + 1));
    }

    std::mt19937_64 random_;
};

TEST_F(PortableMath, ExpIsWithinOneUlp) {
    for (int i = 0; i < kRounds; ++i) {
        const double x = i % 2 ? within(-745.0, 709.7) : within(-2.0, 2.0);
        ASSERT_LE(error_in_ulps(portable::exp(x), std::exp(static_cast<long double>(x))), kUlpMax)
            << "exp(" << x << ")";
    }
}

TEST_F(PortableMath, LogIsWithinOneUlp) {
    for (int i = 0; i < kRounds; ++i) {
        double x = std::ldexp(within(0.5, 1.0), integer(-1073, 1024));  // subnormal to largest
        if (i % 3 == 1) x = within(0.5, 2.0);
        if (i % 3 == 2) x = 1.0 + std::ldexp(within(-0.5, 0.5), -integer(0, 40));
        ASSERT_LE(error_in_ulps(portable::log(x), std::log(static_cast<long double>(x))), kUlpMax)
            << "log(" << x << ")";
    }
}

TEST_F(PortableMath, SinAndCosAreWithinOneUlp) {
    constexpr long double kHalfPi = 1.57079632679489661923132169163975144L;
    for (int i = 0; i < kRounds; ++i) {
        double x = within(-0x1p20, 0x1p20);
        if (i % 3 == 1) x = within(-10.0, 10.0);
        if (i % 3 == 2) x = static_cast<double>(integer(-660'000, 660'000) * kHalfPi);
        const long double exact = x;
        ASSERT_LE(error_in_ulps(portable::sin(x), std::sin(exact)), kUlpMax) << "sin(" << x << ")";
        ASSERT_LE(error_in_ulps(portable::cos(x), std::cos(exact)), kUlpMax) << "cos(" << x << ")";
    }
}

TEST_F(PortableMath, PowIsWithinOneUlp) {
    for (int i = 0; i < kRounds; ++i) {
        // Rotary tables: base 10000 to a few millions, exponents between -2 and 2; and anything.
        double base = within(1e-3, 1e7);
        double exponent = within(-2.0, 2.0);
        if (i % 2) {
            base = std::ldexp(within(0.5, 1.0), integer(-1000, 1000));
            exponent = std::ldexp(within(-1.0, 1.0), integer(0, 11));
        }
        const long double want = std::pow(static_cast<long double>(base), exponent);
        if (want < 0x1p-1022L || want > 1.7e308L) continue;
        ASSERT_LE(error_in_ulps(portable::pow(base, exponent), want), kUlpMax)
            << "pow(" << base << ", " << exponent << ")";
    }
}

TEST(PortableMathEdges, ExpAndLog) {
    EXPECT_EQ(portable::exp(0.0), 1.0);
    EXPECT_EQ(portable::exp(1000.0), kInfinity);
    EXPECT_EQ(portable::exp(kInfinity), kInfinity);
    EXPECT_EQ(portable::exp(-1000.0), 0.0);
    EXPECT_EQ(portable::exp(-kInfinity), 0.0);
    EXPECT_EQ(portable::exp(-745.13), std::numeric_limits<double>::denorm_min());
    EXPECT_TRUE(std::isnan(portable::exp(std::nan(""))));
    EXPECT_EQ(portable::log(1.0), 0.0);
    EXPECT_EQ(portable::log(0.0), -kInfinity);
    EXPECT_EQ(portable::log(kInfinity), kInfinity);
    EXPECT_TRUE(std::isnan(portable::log(-1.0)));
    EXPECT_TRUE(std::isnan(portable::log(std::nan(""))));
}

TEST(PortableMathEdges, SinAndCos) {
    EXPECT_EQ(portable::sin(0.0), 0.0);
    EXPECT_EQ(portable::cos(0.0), 1.0);
    EXPECT_TRUE(std::isfinite(portable::sin(0x1p20)));
    EXPECT_TRUE(std::isnan(portable::sin(std::nextafter(0x1p20, kInfinity))));
    EXPECT_TRUE(std::isnan(portable::cos(-0x1.1p20)));
    EXPECT_TRUE(std::isnan(portable::cos(kInfinity)));
    EXPECT_TRUE(std::isnan(portable::sin(std::nan(""))));
}

TEST(PortableMathEdges, Pow) {
    EXPECT_EQ(portable::pow(10000.0, 0.0), 1.0);
    EXPECT_EQ(portable::pow(10000.0, 1.0), 10000.0);
    EXPECT_EQ(portable::pow(2.0, -1.0), 0.5);
    EXPECT_EQ(portable::pow(1e300, 1e300), kInfinity);
    EXPECT_EQ(portable::pow(1e300, -1e300), 0.0);
    EXPECT_EQ(portable::pow(1.0, 1e300), 1.0);
    EXPECT_TRUE(std::isnan(portable::pow(0.0, 1.0)));
    EXPECT_TRUE(std::isnan(portable::pow(-1.0, 2.0)));
    EXPECT_TRUE(std::isnan(portable::pow(kInfinity, 1.0)));
    EXPECT_TRUE(std::isnan(portable::pow(2.0, kInfinity)));
}

// FNV-1a over the bits of results at fixed arguments. It changes only when someone changes the
// functions, and then continued flights may draw other tokens than before.
TEST(PortableMathEdges, BitsArePinned) {
    uint64_t digest = 0xcbf29ce484222325u;
    const auto take = [&digest](double value) {
        digest = (digest ^ std::bit_cast<uint64_t>(value)) * 0x100000001b3u;
    };
    for (int i = 1; i <= 20'000; ++i) {
        const double u = i / 20'001.0;
        take(portable::log(-portable::log(u)));
        take(portable::exp((u - 0.5) * 1400.0));
        take(portable::sin(u * 131'072.0));
        take(portable::cos(u * 131'072.0));
        take(portable::pow(500'000.0, -u));
    }
    EXPECT_EQ(digest, 7781540631236158689u);
}

}  // namespace
}  // namespace bitnetd
