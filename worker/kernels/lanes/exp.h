// exp of 16 floats, as exp_poly.h defines it. V is an instruction set's F32x16.
#pragma once

#include "worker/kernels/exp_poly.h"

namespace bitnetd::kernels::lanes {

template <typename V>
inline V exp_of(V x) {
    x = V::min(V::all(kExpMax), x);  // NaN passes both
    x = V::max(V::all(kExpMin), x);
    const V t = V::fma(x, V::all(kLog2E), V::all(kRound));
    const V whole = t - V::all(kRound);
    const V r = V::fma(whole, V::all(-kLn2Low), V::fma(whole, V::all(-kLn2High), x));
    V p = V::all(kExpTerms[0]);
#pragma GCC unroll 8
    for (int i = 1; i < kExpTermCount; ++i)
        p = V::fma(p, r, V::all(kExpTerms[i]));
    return p.times_power(t, kRound);
}

}  // namespace bitnetd::kernels::lanes
