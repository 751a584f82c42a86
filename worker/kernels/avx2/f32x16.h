// F32x16 for AVX2, FMA and F16C: the 16 lanes are two registers. lanes/README.md lists what the
// templates expect of it. Compiled only into objects with these instructions enabled; everything
// here is local to its object.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "worker/kernels/avx2/total_8.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::avx2 {
namespace {

struct I32x16 {
    __m256i low, high;

    static I32x16 zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    friend I32x16 operator+(I32x16 a, I32x16 b) {
        return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
    }
    int32_t total() const {
        const __m256i eight = _mm256_add_epi32(low, high);
        __m128i r =
            _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        r = _mm_add_epi32(r, _mm_shuffle_epi32(r, _MM_SHUFFLE(1, 0, 3, 2)));
        r = _mm_add_epi32(r, _mm_shuffle_epi32(r, _MM_SHUFFLE(2, 3, 0, 1)));
        return _mm_cvtsi128_si32(r);
    }
    // Values within -128..127.
    void store_int8(int8_t* at) const {
        const __m256i words =
            _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
        const __m128i bytes =
            _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at), bytes);
    }
};

// 16 sums of squares in double: lanes 0-3, 4-7, 8-11, 12-15.
struct Squares {
    __m256d a, b, c, d;

    static Squares zero() {
        const __m256d none = _mm256_setzero_pd();
        return {none, none, none, none};
    }
    // Lane i += value[i]^2, exactly squared, for 8 lanes in two registers.
    static void add_eight(__m256 value, __m256d& first, __m256d& second) {
        const __m256d x = _mm256_cvtps_pd(_mm256_castps256_ps128(value));
        const __m256d y = _mm256_cvtps_pd(_mm256_extractf128_ps(value, 1));
        first = _mm256_fmadd_pd(x, x, first);
        second = _mm256_fmadd_pd(y, y, second);
    }
    template <typename V>
    void add(const V& value) {
        add_eight(value.low, a, b);
        add_eight(value.high, c, d);
    }
    double total() const {
        const __m256d four = _mm256_add_pd(_mm256_add_pd(a, c), _mm256_add_pd(b, d));
        const __m128d two =
            _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
        return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
    }
};

struct F32x16 {
    using Int = I32x16;
    using Squares = avx2::Squares;
    static constexpr int kDots = 4;  // dot products in flight: 8 sums + 2 operands of 16 registers
    static constexpr int kTileSums = 4;   // of attention: 8 sums + 6 operands of 16 registers
    static constexpr int kTileHeads = 2;  // that share a key or value

    __m256 low, high;

    static F32x16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static F32x16 all(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }

    static F32x16 load(const float* at) { return {_mm256_loadu_ps(at), _mm256_loadu_ps(at + 8)}; }
    static F32x16 load(const uint16_t* at) {
        const __m128i* words = reinterpret_cast<const __m128i*>(at);
        return {_mm256_cvtph_ps(_mm_loadu_si128(words)),
                _mm256_cvtph_ps(_mm_loadu_si128(words + 1))};
    }
    static F32x16 load(const Bf16* at) {
        const __m128i* words = reinterpret_cast<const __m128i*>(at);
        return {from_bf16(_mm_loadu_si128(words)), from_bf16(_mm_loadu_si128(words + 1))};
    }
    static F32x16 load(const int8_t* at) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        return from({_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))});
    }
    static F32x16 from(I32x16 whole) {
        return {_mm256_cvtepi32_ps(whole.low), _mm256_cvtepi32_ps(whole.high)};
    }
    static F32x16 load(const float* at, int64_t count) {
        const Mask mask = first(count);
        return {_mm256_maskload_ps(at, mask.low), _mm256_maskload_ps(at + 8, mask.high)};
    }
    static F32x16 load(const uint16_t* at, int64_t count) {
        uint16_t whole[16] = {};
        for (int64_t i = 0; i < count; ++i)
            whole[i] = at[i];
        return load(whole);
    }
    static F32x16 load(const Bf16* at, int64_t count) {
        Bf16 whole[16] = {};
        for (int64_t i = 0; i < count; ++i)
            whole[i] = at[i];
        return load(whole);
    }
    static F32x16 load(const int8_t* at, int64_t count) {
        int8_t whole[16] = {};
        for (int64_t i = 0; i < count; ++i)
            whole[i] = at[i];
        return load(whole);
    }
    void store(float* at) const {
        _mm256_storeu_ps(at, low);
        _mm256_storeu_ps(at + 8, high);
    }
    void store(uint16_t* at) const {
        constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        __m128i* words = reinterpret_cast<__m128i*>(at);
        _mm_storeu_si128(words, _mm256_cvtps_ph(low, kNearest));
        _mm_storeu_si128(words + 1, _mm256_cvtps_ph(high, kNearest));
    }
    void store(Bf16* at) const {
        const __m256i words = _mm256_packus_epi32(upper_halves(low), upper_halves(high));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                            _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0)));
    }
    void store(Bf16* at, int64_t count) const {
        Bf16 whole[16];
        store(whole);
        for (int64_t i = 0; i < count; ++i)
            at[i] = whole[i];
    }
    void store(float* at, int64_t count) const {
        const Mask mask = first(count);
        _mm256_maskstore_ps(at, mask.low, low);
        _mm256_maskstore_ps(at + 8, mask.high, high);
    }
    void store(uint16_t* at, int64_t count) const {
        uint16_t whole[16];
        store(whole);
        for (int64_t i = 0; i < count; ++i)
            at[i] = whole[i];
    }

    friend F32x16 operator+(F32x16 a, F32x16 b) {
        return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
    }
    friend F32x16 operator-(F32x16 a, F32x16 b) {
        return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
    }
    friend F32x16 operator*(F32x16 a, F32x16 b) {
        return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
    }
    friend F32x16 operator/(F32x16 a, F32x16 b) {
        return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
    }
    F32x16 operator-() const {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        return {_mm256_xor_ps(low, sign), _mm256_xor_ps(high, sign)};
    }
    F32x16 magnitude() const {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        return {_mm256_andnot_ps(sign, low), _mm256_andnot_ps(sign, high)};
    }
    static F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
        return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
    }
    // a > b ? a : b and a < b ? a : b, so b when either is NaN.
    static F32x16 max(F32x16 a, F32x16 b) {
        return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
    }
    static F32x16 min(F32x16 a, F32x16 b) {
        return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
    }
    // Lanes below `count` from a, the others from b.
    static F32x16 select(int64_t count, F32x16 a, F32x16 b) {
        const Mask mask = first(count);
        return {_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(mask.low)),
                _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(mask.high))};
    }

    // Lane i = lane i / 2.
    F32x16 lower_twice() const {
        return {_mm256_permutevar8x32_ps(low, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                _mm256_permutevar8x32_ps(low, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
    }
    // Lanes 2i and 2i + 1 exchanged.
    F32x16 neighbours() const {
        constexpr int kSwap = _MM_SHUFFLE(2, 3, 0, 1);
        return {_mm256_permute_ps(low, kSwap), _mm256_permute_ps(high, kSwap)};
    }
    // Lanes 2i with the other sign.
    F32x16 even_negated() const {
        const __m256 sign = _mm256_castsi256_ps(_mm256_set1_epi64x(0x80000000));
        return {_mm256_xor_ps(low, sign), _mm256_xor_ps(high, sign)};
    }

    Int rounded() const { return {_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)}; }  // to even

    // *this * 2^n, n in the low bits of t (exp_poly.h).
    F32x16 times_power(F32x16 t, float round) const {
        const __m256i zero = _mm256_castps_si256(_mm256_set1_ps(round));
        const __m256i n_low = _mm256_sub_epi32(_mm256_castps_si256(t.low), zero);
        const __m256i n_high = _mm256_sub_epi32(_mm256_castps_si256(t.high), zero);
        const __m256i half_low = _mm256_srai_epi32(n_low, 1);
        const __m256i half_high = _mm256_srai_epi32(n_high, 1);
        const F32x16 first_factor = {power(half_low), power(half_high)};
        const F32x16 second_factor = {power(_mm256_sub_epi32(n_low, half_low)),
                                      power(_mm256_sub_epi32(n_high, half_high))};
        return *this * first_factor * second_factor;
    }

    float largest() const {
        const __m256 eight = _mm256_max_ps(low, high);
        __m128 r = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        r = _mm_max_ps(r, _mm_movehl_ps(r, r));
        return _mm_cvtss_f32(_mm_max_ss(r, _mm_movehdup_ps(r)));
    }
    float total() const {
        const __m256 eight = upper_added();
        __m128 r = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        r = _mm_add_ps(r, _mm_movehl_ps(r, r));
        return _mm_cvtss_f32(_mm_add_ss(r, _mm_movehdup_ps(r)));
    }
    static void total_8(const F32x16* v, float* out) { avx2::add_trees(v, out); }

    // Each lane added to the one 8 above it: the first step of the reduction tree.
    __m256 upper_added() const { return _mm256_add_ps(low, high); }

  private:
    struct Mask {
        __m256i low, high;
    };
    // Rounded to nearest, ties to even; a NaN made quiet.
    static __m256i upper_halves(__m256 value) {
        const __m256i bits = _mm256_castps_si256(value);
        const __m256i upper = _mm256_srli_epi32(bits, 16);
        const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
        const __m256i rounded =
            _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
        return _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), quiet, nan);
    }
    static __m256 from_bf16(__m128i bits) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
    static Mask first(int64_t count) {
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i limit = _mm256_set1_epi32(static_cast<int32_t>(count));
        return {_mm256_cmpgt_epi32(limit, lane),
                _mm256_cmpgt_epi32(limit, _mm256_add_epi32(lane, _mm256_set1_epi32(8)))};
    }
    static __m256 power(__m256i exponent) {
        return _mm256_castsi256_ps(
            _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx2
