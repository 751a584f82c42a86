// exp of a float, as every kernel computes it: the same operations in the same order, so the same
// bits on every instruction set. Relative error below 2^-22 over the whole range.
//
//   x is kept within [kExpMin, kExpMax], where the result is already 0 or infinity
//   t = fma(x, kLog2E, kRound)     the low bits of t hold n, x / ln 2 rounded to nearest
//   r = fma(t - kRound, -kLn2Low, fma(t - kRound, -kLn2High, x))         |r| <= ln 2 / 2
//   p = Horner over kExpTerms with fma: the Taylor sum to r^7 (the next term is below 6e-9)
//   exp = p * 2^floor(n / 2) * 2^(n - floor(n / 2)): two factors, since 2^n alone may not be a
//   float
#pragma once

namespace bitnetd::kernels {

constexpr float kExpMin = -104.0f;
constexpr float kExpMax = 89.0f;
constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer, ties to even
constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kLn2High = 0x1.62e4p-1f;  // 17 bits
constexpr float kLn2Low = 0x1.7f7d1cp-20f;
constexpr int kExpTermCount = 8;
constexpr float kExpTerms[kExpTermCount] = {  // 1/7! ... 1/0!
    1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f};

}  // namespace bitnetd::kernels
