// F32x16 for NEON: the 16 lanes are four registers. lanes/README.md lists what the templates expect
// of it. Compiled only into objects for aarch64; everything here is local to its object.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "worker/kernels/kernel_api.h"
#include "worker/kernels/neon/i32x16.h"

namespace bitnetd::kernels::neon {
namespace {

struct F32x16 {
    using Int = I32x16;
    using Squares = neon::Squares;
    static constexpr int kDots = 4;  // dot products in flight: 16 sums + 8 operands of 32 registers
    static constexpr int kTileSums = 4;   // of attention: 16 sums + 12 operands of 32 registers
    static constexpr int kTileHeads = 2;  // that share a key or value

    float32x4_t a, b, c, d;  // lanes 0-3, 4-7, 8-11, 12-15

    static F32x16 zero() { return all(0.0f); }
    static F32x16 all(float value) {
        const float32x4_t four = vdupq_n_f32(value);
        return {four, four, four, four};
    }

    static F32x16 load(const float* at) {
        return {vld1q_f32(at), vld1q_f32(at + 4), vld1q_f32(at + 8), vld1q_f32(at + 12)};
    }
    static F32x16 load(const uint16_t* at) {
        return {from_half(at), from_half(at + 4), from_half(at + 8), from_half(at + 12)};
    }
    static F32x16 load(const Bf16* at) {
        return {from_bf16(at), from_bf16(at + 4), from_bf16(at + 8), from_bf16(at + 12)};
    }
    static F32x16 load(const int8_t* at) {
        const int8x16_t bytes = vld1q_s8(at);
        const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
        const int16x8_t high = vmovl_high_s8(bytes);
        return from({vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low),
                     vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)});
    }
    static F32x16 from(I32x16 whole) {
        return {vcvtq_f32_s32(whole.a), vcvtq_f32_s32(whole.b), vcvtq_f32_s32(whole.c),
                vcvtq_f32_s32(whole.d)};
    }
    // NEON has no masks: a part goes through 16 elements on the stack, the whole does not.
    template <typename T>
    static F32x16 load(const T* at, int64_t count) {
        if (count == 16) return load(at);
        T whole[16] = {};
        for (int64_t i = 0; i < count; ++i)
            whole[i] = at[i];
        return load(whole);
    }
    void store(float* at) const {
        vst1q_f32(at, a);
        vst1q_f32(at + 4, b);
        vst1q_f32(at + 8, c);
        vst1q_f32(at + 12, d);
    }
    void store(uint16_t* at) const {
        vst1_u16(at, to_half(a));
        vst1_u16(at + 4, to_half(b));
        vst1_u16(at + 8, to_half(c));
        vst1_u16(at + 12, to_half(d));
    }
    void store(Bf16* at) const {
        auto* bits = reinterpret_cast<uint16_t*>(at);
        vst1_u16(bits, to_bf16(a));
        vst1_u16(bits + 4, to_bf16(b));
        vst1_u16(bits + 8, to_bf16(c));
        vst1_u16(bits + 12, to_bf16(d));
    }
    template <typename T>
    void store(T* at, int64_t count) const {
        if (count == 16) return store(at);
        T whole[16];
        store(whole);
        for (int64_t i = 0; i < count; ++i)
            at[i] = whole[i];
    }

    friend F32x16 operator+(F32x16 x, F32x16 y) {
        return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
    }
    friend F32x16 operator-(F32x16 x, F32x16 y) {
        return {x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d};
    }
    friend F32x16 operator*(F32x16 x, F32x16 y) {
        return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d};
    }
    friend F32x16 operator/(F32x16 x, F32x16 y) {
        return {x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d};
    }
    F32x16 operator-() const { return {-a, -b, -c, -d}; }
    F32x16 magnitude() const { return {vabsq_f32(a), vabsq_f32(b), vabsq_f32(c), vabsq_f32(d)}; }
    static F32x16 fma(F32x16 x, F32x16 y, F32x16 z) {
        return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                vfmaq_f32(z.d, x.d, y.d)};
    }
    // x > y ? x : y and x < y ? x : y, so y when either is NaN: FMAX would give NaN.
    static F32x16 max(F32x16 x, F32x16 y) {
        return {greater(x.a, y.a), greater(x.b, y.b), greater(x.c, y.c), greater(x.d, y.d)};
    }
    static F32x16 min(F32x16 x, F32x16 y) {
        return {lesser(x.a, y.a), lesser(x.b, y.b), lesser(x.c, y.c), lesser(x.d, y.d)};
    }
    // Lanes below `count` from x, the others from y.
    static F32x16 select(int64_t count, F32x16 x, F32x16 y) {
        const auto lanes = static_cast<int32_t>(count);
        return {vbslq_f32(below(lanes), x.a, y.a), vbslq_f32(below(lanes - 4), x.b, y.b),
                vbslq_f32(below(lanes - 8), x.c, y.c), vbslq_f32(below(lanes - 12), x.d, y.d)};
    }

    // Lane i = lane i / 2.
    F32x16 lower_twice() const {
        return {vzip1q_f32(a, a), vzip2q_f32(a, a), vzip1q_f32(b, b), vzip2q_f32(b, b)};
    }
    // Lanes 2i and 2i + 1 exchanged.
    F32x16 neighbours() const {
        return {vrev64q_f32(a), vrev64q_f32(b), vrev64q_f32(c), vrev64q_f32(d)};
    }
    // Lanes 2i with the other sign.
    F32x16 even_negated() const {
        return {sign_turned(a), sign_turned(b), sign_turned(c), sign_turned(d)};
    }

    Int rounded() const {  // ties to even
        return {vcvtnq_s32_f32(a), vcvtnq_s32_f32(b), vcvtnq_s32_f32(c), vcvtnq_s32_f32(d)};
    }

    // *this * 2^n, n in the low bits of t (exp_poly.h).
    F32x16 times_power(F32x16 t, float round) const {
        return {times_power(a, t.a, round), times_power(b, t.b, round), times_power(c, t.c, round),
                times_power(d, t.d, round)};
    }

    float largest() const {
        return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a, c), vmaxnmq_f32(b, d)));
    }
    float total() const {
        const float32x4_t four = quarter();
        return vaddv_f32(vget_low_f32(four) + vget_high_f32(four));
    }
    static void total_8(const F32x16* v, float* out) {
        vst1q_f32(out, total_4(v));
        vst1q_f32(out + 4, total_4(v + 4));
    }

  private:
    // A half and a bfloat16 are loaded as their bits.
    static float32x4_t from_half(const uint16_t* at) {
        return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(at)));
    }
    static uint16x4_t to_half(float32x4_t value) {
        return vreinterpret_u16_f16(vcvt_f16_f32(value));
    }
    static float32x4_t from_bf16(const Bf16* at) {
        const uint16x4_t bits = vld1_u16(reinterpret_cast<const uint16_t*>(at));
        return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
    }
    // Rounded to nearest, ties to even; a NaN made quiet.
    static uint16x4_t to_bf16(float32x4_t value) {
        const uint32x4_t bits = vreinterpretq_u32_f32(value);
        const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
        const uint32x4_t rounded = bits + odd + vdupq_n_u32(0x7fff);
        const uint16x4_t quiet = vorr_u16(vshrn_n_u32(bits, 16), vdup_n_u16(0x40));
        const uint16x4_t number = vmovn_u32(vceqq_f32(value, value));
        return vbsl_u16(number, vshrn_n_u32(rounded, 16), quiet);
    }
    static float32x4_t greater(float32x4_t x, float32x4_t y) {
        return vbslq_f32(vcgtq_f32(x, y), x, y);
    }
    static float32x4_t lesser(float32x4_t x, float32x4_t y) {
        return vbslq_f32(vcltq_f32(x, y), x, y);
    }
    // Of four lanes, those below `count`, which may be less than 0 or more than 4.
    static uint32x4_t below(int32_t count) {
        const int32x4_t lane = {0, 1, 2, 3};
        return vcltq_s32(lane, vdupq_n_s32(count));
    }
    static float32x4_t sign_turned(float32x4_t x) {
        const uint32x4_t sign = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000));
        return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), sign));
    }
    static float32x4_t power(int32x4_t exponent) {
        return vreinterpretq_f32_s32(vshlq_n_s32(exponent + vdupq_n_s32(127), 23));
    }
    static float32x4_t times_power(float32x4_t x, float32x4_t t, float round) {
        const int32x4_t n = vreinterpretq_s32_f32(t) - vreinterpretq_s32_f32(vdupq_n_f32(round));
        const int32x4_t half = vshrq_n_s32(n, 1);
        return x * power(half) * power(n - half);
    }
    // The reduction tree's first two steps: +8, +4.
    float32x4_t quarter() const { return (a + c) + (b + d); }
    // Four trees at once.
    static float32x4_t total_4(const F32x16* v) {
        return vpaddq_f32(halves(v[0].quarter(), v[1].quarter()),
                          halves(v[2].quarter(), v[3].quarter()));
    }
    // +2: two partial sums of x, then two of y.
    static float32x4_t halves(float32x4_t x, float32x4_t y) {
        const float64x2_t first = vreinterpretq_f64_f32(x);
        const float64x2_t second = vreinterpretq_f64_f32(y);
        return vreinterpretq_f32_f64(vzip1q_f64(first, second)) +
               vreinterpretq_f32_f64(vzip2q_f64(first, second));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::neon
