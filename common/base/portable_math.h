// Elementary functions of doubles with the same bits on every CPU.
//
// libm chooses variants by CPU, so its last bit depends on the machine; a draw or a rotation
// computed with it would make a flight that is resumed elsewhere continue differently. These use
// only IEEE additions, multiplications, divisions and explicit std::fma in a fixed order (the build
// turns off the compiler's own contraction), which every CPU rounds alike.
//
// Errors are bounds in units of the last place of the result, tested against 80-bit libm. Any
// thread may call. None sets errno.
#pragma once

namespace bitnetd::portable {

// e^x, within 1 ulp; 0 and infinity beyond the range of double, NaN for NaN.
double exp(double x) noexcept;

// Natural logarithm, within 1 ulp; log(0) is -infinity, NaN below.
double log(double x) noexcept;

// Within 1 ulp for |x| <= 2^20 radians (rotary angles reach 2^17). Beyond, and for NaN, the result
// is NaN, so that a mistake cannot pass for an angle.
double sin(double x) noexcept;
double cos(double x) noexcept;

// base^exponent, within 1 ulp; base > 0 and finite, exponent finite, otherwise NaN. Made for tables
// computed once: slower than the others.
double pow(double base, double exponent) noexcept;

}  // namespace bitnetd::portable
