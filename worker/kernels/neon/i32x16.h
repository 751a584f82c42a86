// 16 lanes of int32 and 16 sums of squares in double, for NEON: what F32x16 turns into. Compiled
// only into objects for aarch64; everything here is local to its object.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace bitnetd::kernels::neon {
namespace {

struct I32x16 {
    int32x4_t a, b, c, d;  // lanes 0-3, 4-7, 8-11, 12-15

    static I32x16 all(int32_t value) {
        const int32x4_t four = vdupq_n_s32(value);
        return {four, four, four, four};
    }
    static I32x16 zero() { return all(0); }
    friend I32x16 operator+(I32x16 x, I32x16 y) {
        return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
    }
    int32_t total() const { return vaddvq_s32((a + c) + (b + d)); }
    // Values within -128..127.
    void store_int8(int8_t* at) const {
        const int16x8_t low = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
        const int16x8_t high = vcombine_s16(vmovn_s32(c), vmovn_s32(d));
        vst1q_s8(at, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }
};

// Four doubles.
struct F64x4 {
    float64x2_t low, high;

    static F64x4 zero() { return {vdupq_n_f64(0.0), vdupq_n_f64(0.0)}; }
    friend F64x4 operator+(F64x4 x, F64x4 y) { return {x.low + y.low, x.high + y.high}; }
    // Lane i += value[i]^2, exactly squared.
    void add_squares(float32x4_t value) {
        const float64x2_t first = vcvt_f64_f32(vget_low_f32(value));
        const float64x2_t second = vcvt_high_f64_f32(value);
        low = vfmaq_f64(low, first, first);
        high = vfmaq_f64(high, second, second);
    }
};

// 16 sums of squares in double: lanes 0-3, 4-7, 8-11, 12-15.
struct Squares {
    F64x4 a, b, c, d;

    static Squares zero() { return {F64x4::zero(), F64x4::zero(), F64x4::zero(), F64x4::zero()}; }
    template <typename V>
    void add(const V& value) {
        a.add_squares(value.a);
        b.add_squares(value.b);
        c.add_squares(value.c);
        d.add_squares(value.d);
    }
    double total() const {
        const F64x4 four = (a + c) + (b + d);
        const float64x2_t two = four.low + four.high;
        return vgetq_lane_f64(two, 0) + vgetq_lane_f64(two, 1);
    }
};

}  // namespace
}  // namespace bitnetd::kernels::neon
