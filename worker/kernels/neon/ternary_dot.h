// How NEON multiplies codes by activations: byte products are added to 16-bit lanes (SMLAL), and
// those widened to 32 before they can wrap.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace bitnetd::kernels::neon {
namespace {

struct TernaryDot {
    using Bytes = int8x16_t;  // codes are at most 2, so a signed byte holds them
    using Sum = int16x8_t;
    using Wide = int32x4_t;
    static constexpr int32_t kBytes = 16;
    // A lane adds at most 2 * 2 * 127 = 508, and 64 * 508 = 32512 <= 32767.
    static constexpr int32_t kAddsMax = 64;
    static constexpr int kRows = 4;
    static constexpr int kColumns = 4;  // 4x4 sums + 4 codes + 4 packed + q + mask = 26 of 32

    struct Zero {
        operator Sum() const { return vdupq_n_s16(0); }
        operator Wide() const { return vdupq_n_s32(0); }
    };
    static Zero zero() { return {}; }
    static Bytes load(const void* at) { return vld1q_s8(static_cast<const int8_t*>(at)); }
    template <int kField>
    static Bytes field(Bytes packed) {
        uint8x16_t codes = vreinterpretq_u8_s8(packed);
        if constexpr (kField > 0) codes = vshrq_n_u8(codes, 2 * kField);
        if constexpr (kField < 3) codes = vandq_u8(codes, vdupq_n_u8(3));
        return vreinterpretq_s8_u8(codes);
    }
    static Sum add(Sum sum, Bytes codes, Bytes q) {
        sum = vmlal_s8(sum, vget_low_s8(codes), vget_low_s8(q));
        return vmlal_high_s8(sum, codes, q);
    }
    static Wide widen(Wide wide, Sum sum) { return vpadalq_s16(wide, sum); }
    static int32_t total(Wide wide) { return vaddvq_s32(wide); }
    static void totals_4(const Wide* wide, int32_t* totals) {
        vst1q_s32(totals, vpaddq_s32(vpaddq_s32(wide[0], wide[1]), vpaddq_s32(wide[2], wide[3])));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::neon
