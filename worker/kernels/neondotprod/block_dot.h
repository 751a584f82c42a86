// How the dot product instructions of ARMv8.2 multiply the code bytes of packed matrices by
// activations: a row's four products are added to its 32-bit lane at once (SDOT), whatever the
// codes. Everything else is NEON's.
#pragma once

#include "worker/kernels/neon/block_dot.h"

namespace bitnetd::kernels::neondotprod {
namespace {

struct BlockDot : neon::BlockDot {
    template <BlockLayout L>
    static neon::I32x16 dot(const Codes* quad, const int8_t* q, int32_t q_sum) {
        neon::I32x16 sum = neon::I32x16::all(-kBiasLeft<L> * q_sum);
#pragma GCC unroll 8
        for (int i = 0; i < L.group / 4; ++i) {
            const int8x16_t x = four(q + 4 * i);
            sum.a = vdotq_s32(sum.a, signed_codes<L>(quad[i].a), x);
            sum.b = vdotq_s32(sum.b, signed_codes<L>(quad[i].b), x);
            sum.c = vdotq_s32(sum.c, signed_codes<L>(quad[i].c), x);
            sum.d = vdotq_s32(sum.d, signed_codes<L>(quad[i].d), x);
        }
        return sum;
    }
};

}  // namespace
}  // namespace bitnetd::kernels::neondotprod
