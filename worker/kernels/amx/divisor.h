// Division of many whole numbers by one float, correctly rounded, without the divider: that takes
// 16 cycles for 16 quotients, as long as a tile takes for 64 products of each of 256 sums.
#pragma once

#include <immintrin.h>

namespace bitnetd::kernels::amx {
namespace {

// With r = 1 / b rounded and r + rest = 1 / b nearly exactly, a * r + a * rest rounded once is
// within one unit in the last place of a / b. Then a - quotient * b is exact, and adding that times
// r, rounded once, gives a / b rounded to nearest (Markstein's theorem; it needs that nothing
// overflows or underflows, hence the bounds). Other divisors, none of which quantise_rows makes of
// sane activations, are left to the divider.
struct Divisor {
    float value;
    float reciprocal;  // 1 / value, rounded; 0: use the divider
    float rest;        // 1 / value - reciprocal, nearly

    static Divisor of(float b) {
        if (!(b >= 0x1p-60f && b <= 0x1p60f)) return {b, 0, 0};
        const float reciprocal = 1.0f / b;
        return {b, reciprocal, __builtin_fmaf(-b, reciprocal, 1.0f) * reciprocal};
    }
};

// a / b, for whole numbers a of at most 2^24.
inline __m512 divide(__m512 a, const Divisor& b) {
    const __m512 value = _mm512_set1_ps(b.value);
    if (b.reciprocal == 0) return _mm512_div_ps(a, value);
    const __m512 reciprocal = _mm512_set1_ps(b.reciprocal);
    const __m512 quotient =
        _mm512_fmadd_ps(a, reciprocal, _mm512_mul_ps(a, _mm512_set1_ps(b.rest)));
    const __m512 remainder = _mm512_fnmadd_ps(quotient, value, a);
    return _mm512_fmadd_ps(remainder, reciprocal, quotient);
}

}  // namespace
}  // namespace bitnetd::kernels::amx
