#include "common/base/portable_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "common/base/portable_log.h"

namespace bitnetd::portable {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

constexpr double kLog2E = 0x1.71547652b82fep+0;

// pi / 2 in four parts of 33, 32, 53 and 53 bits: products of the first two with a quotient of at
// most 20 bits are exact. The last matters next to a multiple of pi / 2, where the others cancel.
constexpr double kHalfPiHigh = 0x1.921fb544p+0;
constexpr double kHalfPiMiddle = 0x1.0b4611a6p-34;
constexpr double kHalfPiLow = 0x1.3198a2e037073p-69;
constexpr double kHalfPiLowest = 0x1.129024e088a68p-123;
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kAngleMax = 0x1p20;

constexpr double kRound = 0x1.8p52;  // adding and subtracting it rounds to an integer, ties to even

// A value and what its rounding lost.
struct Double2 {
    double high;
    double low;
};

Double2 exact_sum(double a, double b) {
    const double sum = a + b;
    const double b_part = sum - a;
    return {sum, (a - (sum - b_part)) + (b - b_part)};
}

Double2 exact_product(double a, double b) {
    const double product = a * b;
    return {product, std::fma(a, b, -product)};
}

Double2 product(Double2 a, Double2 b) {
    Double2 p = exact_product(a.high, b.high);
    p.low += a.high * b.low + a.low * b.high;
    return exact_sum(p.high, p.low);
}

double power_of_two(int64_t exponent) {  // -1022 .. 1023
    return std::bit_cast<double>(static_cast<uint64_t>(exponent + 1023) << 52);
}

// 1 / n! and 1 / (2n + 1), correctly rounded: the coefficients of the series below.
constexpr double reciprocal_factorial(int n) {
    double factorial = 1.0;  // exact up to 18!
    for (int i = 2; i <= n; ++i)
        factorial *= i;
    return 1.0 / factorial;
}

// e^(x + low) for a low far below the last place of x.
double exp_of_sum(double x, double low) {
    if (x > 710.0) return kInfinity;
    if (x < -746.0) return 0.0;
    const double n = (x * kLog2E + kRound) - kRound;
    const double high = x - n * kLn2High;  // exact
    const double correction = n * kLn2Low - low;
    const double r = high - correction;  // |r| <= 0.347
    const double lost = (high - r) - correction;

    // e^r = 1 + r + r^2 (1/2! + r/3! + ...): the first term left out is below 2^-60.
    double series = reciprocal_factorial(14);
    for (int i = 13; i >= 2; --i)
        series = series * r + reciprocal_factorial(i);
    const double value = 1.0 + (r + (r * r * series + lost));

    // Two factors, since 2^n alone may not be a double; only the second product can round.
    const int64_t whole = static_cast<int64_t>(n);
    const int64_t half = whole / 2;
    return value * power_of_two(half) * power_of_two(whole - half);
}

// log(x) to about 2^-64 of its size, for pow(): log(fraction) = 2 atanh(s), s = f / (2 + f), as
// 2s (1 + z/3 + z^2 (1/5 + z/7 + ...)) with z = s^2; the first two terms in double-double.
Double2 precise_log(double x) {
    const auto [fraction, exponent] = scaled(x);
    const double f = fraction - 1.0;  // exact
    const Double2 divisor = exact_sum(2.0, f);
    const double s_high = f / divisor.high;
    const double rest = std::fma(-s_high, divisor.high, f) - s_high * divisor.low;
    const Double2 s = exact_sum(s_high, rest / divisor.high);
    const Double2 z = product(s, s);
    constexpr double kThird = 1.0 / 3.0;
    constexpr double kThirdLost = 0x1.5555555555555p-56;  // 1/3 - kThird
    Double2 series = product(z, {kThird, kThirdLost});
    series.low += z.high * z.high * odd_reciprocals(z.high, 5);
    const Double2 correction = product(s, exact_sum(series.high, series.low));
    const Double2 atanh = exact_sum(s.high, correction.high);
    const double atanh_low = atanh.low + (s.low + correction.low);

    const double n = static_cast<double>(exponent);
    const Double2 sum = exact_sum(n * kLn2High, 2.0 * atanh.high);
    return exact_sum(sum.high, sum.low + (2.0 * atanh_low + n * kLn2Low));
}

// x less the nearest multiple of pi / 2, and that multiple mod 4.
struct Angle {
    double high;  // |high| <= pi / 4
    double low;
    int quadrant;
};

Angle reduced(double x) {
    const double n = (x * kTwoOverPi + kRound) - kRound;
    const double near = x - n * kHalfPiHigh;  // exact: both are multiples of a small power of two
    const Double2 middle = exact_sum(near, -(n * kHalfPiMiddle));
    const Double2 last = exact_product(n, kHalfPiLow);
    const Double2 sum = exact_sum(middle.high, -last.high);
    const Double2 r = exact_sum(sum.high, sum.low + (middle.low - (last.low + n * kHalfPiLowest)));
    return {r.high, r.low, static_cast<int>(static_cast<int64_t>(n) & 3)};
}

// |r| <= pi / 4: r - r^3 (1/3! - r^2/5! + ...), up to r^17.
double sin_near_zero(const Angle& angle) {
    const double r = angle.high;
    const double z = r * r;
    double series = reciprocal_factorial(17);
    for (int i = 15; i >= 3; i -= 2)
        series = reciprocal_factorial(i) - series * z;
    // sin(r + low) = sin r + low cos r, and cos r = 1 - z/2 is close enough for low.
    return r + (angle.low * (1.0 - 0.5 * z) - r * z * series);
}

// 1 - z/2 + z^2 (1/4! - z/6! + ...), up to r^18; what 1 - z/2 rounds away is added back.
double cos_near_zero(const Angle& angle) {
    const double r = angle.high;
    const double z = r * r;
    double series = reciprocal_factorial(18);
    for (int i = 16; i >= 4; i -= 2)
        series = reciprocal_factorial(i) - series * z;
    const double half = 0.5 * z;
    const double near = 1.0 - half;
    return near + (((1.0 - near) - half) + (z * z * series - r * angle.low));
}

bool is_angle(double x) {
    return x >= -kAngleMax && x <= kAngleMax;
}

}  // namespace

double exp(double x) noexcept {
    return x != x ? kNan : exp_of_sum(x, 0.0);
}

double log(double x) noexcept {
    return log_of(x);
}

double sin(double x) noexcept {
    if (!is_angle(x)) return kNan;
    const Angle angle = reduced(x);
    const double value = angle.quadrant & 1 ? cos_near_zero(angle) : sin_near_zero(angle);
    return angle.quadrant & 2 ? -value : value;
}

double cos(double x) noexcept {
    if (!is_angle(x)) return kNan;
    const Angle angle = reduced(x);
    const double value = angle.quadrant & 1 ? sin_near_zero(angle) : cos_near_zero(angle);
    const bool negative = angle.quadrant == 1 || angle.quadrant == 2;
    return negative ? -value : value;
}

double pow(double base, double exponent) noexcept {
    if (!(base > 0.0) || base == kInfinity || !(exponent - exponent == 0.0)) return kNan;
    const Double2 logarithm = precise_log(base);
    Double2 power = exact_product(exponent, logarithm.high);
    if (power.high > 1000.0) return kInfinity;  // also keeps an overflow's NaN out of the low part
    if (power.high < -1000.0) return 0.0;
    power.low += exponent * logarithm.low;
    return exp_of_sum(power.high, power.low);
}

}  // namespace bitnetd::portable
