// How AVX-512 VNNI multiplies codes by activations: four byte products are added to a 32-bit lane
// at once (vpdpbusd), so nothing needs widening. Everything else is AVX-512BW's.
#pragma once

#include "worker/kernels/avx512/ternary_dot.h"

namespace bitnetd::kernels::avx512vnni {
namespace {

struct TernaryDot : avx512::TernaryDot {
    // A lane adds at most 4 * 2 * 127 = 1016 at a time; a whole row of 2^17 makes 2^11 additions.
    static constexpr int32_t kAddsMax = 1 << 20;

    static Sum add(Sum sum, Bytes codes, Bytes q) { return _mm512_dpbusd_epi32(sum, codes, q); }
    static Wide widen(Wide wide, Sum sum) { return _mm512_add_epi32(wide, sum); }
};

}  // namespace
}  // namespace bitnetd::kernels::avx512vnni
