// How the dot product instructions of ARMv8.2 multiply codes by activations: four byte products are
// added to a 32-bit lane at once (SDOT), so nothing needs widening. Everything else is NEON's.
#pragma once

#include "worker/kernels/neon/ternary_dot.h"

namespace bitnetd::kernels::neondotprod {
namespace {

struct TernaryDot : neon::TernaryDot {
    using Sum = int32x4_t;
    // A lane adds at most 4 * 2 * 127 = 1016 at a time; a whole row of 2^17 makes 2^13 additions.
    static constexpr int32_t kAddsMax = 1 << 20;

    static Wide zero() { return vdupq_n_s32(0); }
    static Sum add(Sum sum, Bytes codes, Bytes q) { return vdotq_s32(sum, codes, q); }
    static Wide widen(Wide wide, Sum sum) { return wide + sum; }
};

}  // namespace
}  // namespace bitnetd::kernels::neondotprod
