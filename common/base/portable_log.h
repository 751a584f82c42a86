// The logarithm of portable_math.h, constexpr: so that a device's compiler can make code of it too.
// Errors and bits are as said there.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace bitnetd::portable {

// ln 2 in two parts: the first has 42 bits, so its product with an exponent (11 bits) is exact.
inline constexpr double kLn2High = 0x1.62e42fefa3800p-1;
inline constexpr double kLn2Low = 0x1.ef35793c76730p-45;

// x = 2^exponent * fraction, fraction within [sqrt(1/2), sqrt(2)); x > 0 and finite.
struct Scaled {
    double fraction;
    int64_t exponent;
};

constexpr Scaled scaled(double x) noexcept {
    int64_t exponent = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        exponent = -54;
    }
    constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcd;
    const uint64_t bits = std::bit_cast<uint64_t>(x);
    // Counts how many times sqrt(1/2) must be doubled to reach x.
    const int64_t doublings = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
    exponent += doublings;
    return {std::bit_cast<double>(bits - (static_cast<uint64_t>(doublings) << 52)), exponent};
}

// The sum over i of z^i / (2i + first) for i = 0..11: z < 0.0295, so the rest is below 2^-60.
constexpr double odd_reciprocals(double z, int first) noexcept {
    double series = 1.0 / (2 * 11 + first);
    for (int i = 10; i >= 0; --i)
        series = series * z + 1.0 / (2 * i + first);
    return series;
}

constexpr double log_of(double x) noexcept {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (!(x > 0.0)) return x == 0.0 ? -kInfinity : std::numeric_limits<double>::quiet_NaN();
    if (x == kInfinity) return kInfinity;
    const auto [fraction, exponent] = scaled(x);
    const double n = static_cast<double>(exponent);
    const double f = fraction - 1.0;  // exact
    // log(1 + f) = 2 atanh(s) with s = f / (2 + f). As 2s = f - sf = f - f^2/2 + s f^2/2 it is
    // f - (f^2/2 - s (f^2/2 + rest)), whose leading term f has no rounding error.
    const double s = f / (2.0 + f);
    const double z = s * s;
    const double rest = 2.0 * z * odd_reciprocals(z, 3);
    const double half_square = 0.5 * f * f;
    const double small = s * (half_square + rest) + n * kLn2Low;
    return n * kLn2High - ((half_square - small) - f);
}

}  // namespace bitnetd::portable
