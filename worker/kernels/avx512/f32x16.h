// F32x16 for AVX-512 (F, BW, VL, DQ): the 16 lanes are one register. lanes/README.md lists what the
// templates expect of it. Compiled only into objects with these instructions enabled; everything
// here is local to its object.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "worker/kernels/avx2/total_8.h"
#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::avx512 {
namespace {

struct I32x16 {
    __m512i v;

    static I32x16 zero() { return {_mm512_setzero_si512()}; }
    friend I32x16 operator+(I32x16 a, I32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
    int32_t total() const { return _mm512_reduce_add_epi32(v); }
    // Values within -128..127.
    void store_int8(int8_t* at) const {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_cvtsepi32_epi8(v));
    }
};

// 16 sums of squares in double: lanes 0-7, 8-15.
struct Squares {
    __m512d a, b;

    static Squares zero() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
    // Lane i += value[i]^2, exactly squared.
    template <typename V>
    void add(const V& value) {
        const __m512d x = _mm512_cvtps_pd(_mm512_castps512_ps256(value.v));
        const __m512d y = _mm512_cvtps_pd(_mm512_extractf32x8_ps(value.v, 1));
        a = _mm512_fmadd_pd(x, x, a);
        b = _mm512_fmadd_pd(y, y, b);
    }
    double total() const {
        const __m512d eight = _mm512_add_pd(a, b);
        const __m256d four =
            _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
        const __m128d two =
            _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
        return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
    }
};

struct F32x16 {
    using Int = I32x16;
    using Squares = avx512::Squares;
    static constexpr int kDots = 8;  // dot products in flight: 8 sums + 8 operands of 32 registers
    static constexpr int kTileSums = 16;  // of attention: 16 sums + 8 operands of 32 registers
    static constexpr int kTileHeads = 4;  // that share a key or value

    __m512 v;

    static __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
    static F32x16 zero() { return {_mm512_setzero_ps()}; }
    static F32x16 all(float value) { return {_mm512_set1_ps(value)}; }

    static F32x16 load(const float* at) { return {_mm512_loadu_ps(at)}; }
    static F32x16 load(const uint16_t* at) {
        return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)))};
    }
    static F32x16 load(const Bf16* at) {
        return from_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    }
    static F32x16 load(const int8_t* at) {
        return from({_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))});
    }
    static F32x16 from(I32x16 whole) { return {_mm512_cvtepi32_ps(whole.v)}; }
    static F32x16 load(const float* at, int64_t count) {
        return {_mm512_maskz_loadu_ps(first(count), at)};
    }
    static F32x16 load(const uint16_t* at, int64_t count) {
        return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), at))};
    }
    static F32x16 load(const Bf16* at, int64_t count) {
        return from_bf16(_mm256_maskz_loadu_epi16(first(count), at));
    }
    static F32x16 load(const int8_t* at, int64_t count) {
        return from({_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(count), at))});
    }
    void store(float* at) const { _mm512_storeu_ps(at, v); }
    void store(uint16_t* at) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), halves());
    }
    void store(Bf16* at) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), upper_halves());
    }
    void store(Bf16* at, int64_t count) const {
        _mm256_mask_storeu_epi16(at, first(count), upper_halves());
    }
    void store(float* at, int64_t count) const { _mm512_mask_storeu_ps(at, first(count), v); }
    void store(uint16_t* at, int64_t count) const {
        _mm256_mask_storeu_epi16(at, first(count), halves());
    }

    friend F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
    friend F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
    friend F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
    friend F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
    F32x16 operator-() const { return {_mm512_xor_ps(v, _mm512_set1_ps(-0.0f))}; }
    F32x16 magnitude() const { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), v)}; }
    static F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
    // a > b ? a : b and a < b ? a : b, so b when either is NaN.
    static F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
    static F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
    // Lanes below `count` from a, the others from b.
    static F32x16 select(int64_t count, F32x16 a, F32x16 b) {
        return {_mm512_mask_mov_ps(b.v, first(count), a.v)};
    }

    // Lane i = lane i / 2.
    F32x16 lower_twice() const {
        const __m512i half = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        return {_mm512_permutexvar_ps(half, v)};
    }
    // Lanes 2i and 2i + 1 exchanged.
    F32x16 neighbours() const { return {_mm512_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1))}; }
    // Lanes 2i with the other sign.
    F32x16 even_negated() const {
        return {_mm512_castsi512_ps(
            _mm512_xor_si512(_mm512_castps_si512(v), _mm512_set1_epi64(0x80000000)))};
    }

    Int rounded() const { return {_mm512_cvtps_epi32(v)}; }  // ties to even

    // *this * 2^n, n in the low bits of t (exp_poly.h).
    F32x16 times_power(F32x16 t, float round) const {
        const __m512i n =
            _mm512_sub_epi32(_mm512_castps_si512(t.v), _mm512_castps_si512(_mm512_set1_ps(round)));
        const __m512i half = _mm512_srai_epi32(n, 1);
        const F32x16 first_factor = power(half);
        return *this * first_factor * power(_mm512_sub_epi32(n, half));
    }

    float largest() const { return _mm512_reduce_max_ps(v); }
    float total() const {
        __m128 r = quarter(upper_added());
        r = _mm_add_ps(r, _mm_movehl_ps(r, r));
        return _mm_cvtss_f32(_mm_add_ss(r, _mm_movehdup_ps(r)));
    }
    static void total_8(const F32x16* v, float* out) { avx2::add_trees(v, out); }

    // Each lane added to the one 8 above it: the first step of the reduction tree.
    __m256 upper_added() const {
        return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    }

  private:
    static F32x16 from_bf16(__m256i bits) {
        return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
    }
    // Rounded to nearest, ties to even; a NaN made quiet.
    __m256i upper_halves() const {
        const __m512i bits = _mm512_castps_si512(v);
        const __m512i upper = _mm512_srli_epi32(bits, 16);
        const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        const __m512i rounded =
            _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        const __m512i quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
        return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(
            _mm512_srli_epi32(rounded, 16), _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet));
    }
    __m256i halves() const {
        return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static F32x16 power(__m512i exponent) {
        const __m512i bits =
            _mm512_slli_epi32(_mm512_add_epi32(exponent, _mm512_set1_epi32(127)), 23);
        return {_mm512_castsi512_ps(bits)};
    }
    static __m128 quarter(__m256 r) {
        return _mm_add_ps(_mm256_castps256_ps128(r), _mm256_extractf128_ps(r, 1));
    }
};

}  // namespace
}  // namespace bitnetd::kernels::avx512
