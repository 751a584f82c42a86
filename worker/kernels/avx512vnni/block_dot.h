// How AVX-512 VNNI multiplies the code bytes of packed matrices by activations: four products are
// added to a 32-bit lane at once (vpdpbusd), whatever the codes. Everything else is AVX-512BW's.
#pragma once

#include "worker/kernels/avx512/block_dot.h"

namespace bitnetd::kernels::avx512vnni {
namespace {

struct BlockDot : avx512::BlockDot {
    template <BlockLayout L>
    static avx512::I32x16 dot(const Codes* quad, const int8_t* q, int32_t q_sum) {
        __m512i sum = _mm512_set1_epi32(-L.bias * q_sum);
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i)
            sum = _mm512_dpbusd_epi32(sum, quad[i], four(q + 4 * i));
        return {sum};
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx512vnni
