// Kernels that walk rows of floats: norm, activations, rotation, conversion, quantisation and the
// float products. Written once for every instruction set; V is its F32x16. The contract of each is
// in kernel_api.h, the plain meaning in reference/.
#pragma once

#include <cmath>
#include <cstdint>

#include "worker/kernels/kernel_api.h"
#include "worker/kernels/lanes/dots.h"
#include "worker/kernels/lanes/exp.h"

namespace bitnetd::kernels::lanes {

// Codes within +-127, ties to even.
template <typename V>
inline typename V::Int quantised(V value, V scale) {
    return V::min(V::max(value * scale, V::all(-127.0f)), V::all(127.0f)).rounded();
}

template <typename V>
void quantise_rows(int32_t m, int32_t k, const float* x, int64_t x_stride, int8_t* q,
                   float* x_scale, int32_t* q_sum) noexcept {
    const int64_t padded =
        (static_cast<int64_t>(k) + kTernaryBlock - 1) / kTernaryBlock * kTernaryBlock;
    for (int64_t i = 0; i < m; ++i) {
        const float* row = x + i * x_stride;
        int8_t* out = q + i * padded;
        V largest = V::zero();
        int32_t t = 0;
        for (; t + 16 <= k; t += 16)
            largest = V::max(largest, V::load(row + t).magnitude());
        if (t < k) largest = V::max(largest, V::load(row + t, k - t).magnitude());
        const double limit = largest.largest();
        x_scale[i] = static_cast<float>(127.0 / (limit > 1e-5 ? limit : 1e-5));

        const V scale = V::all(x_scale[i]);
        typename V::Int sum = V::Int::zero();
        for (t = 0; t < k;
             t += 16) {  // a tail reads as zeros and may be stored whole: rows are padded
            const V value = t + 16 <= k ? V::load(row + t) : V::load(row + t, k - t);
            const typename V::Int whole = quantised(value, scale);
            sum = sum + whole;
            whole.store_int8(out + t);
        }
        for (; t < padded; t += 16)
            V::Int::zero().store_int8(out + t);
        q_sum[i] = sum.total();
    }
}

template <typename V>
void quantise_head(int32_t head_dim, const float* x, int8_t* q, float* scale) noexcept {
    const auto value_at = [=](int32_t t) {
        return t + 16 <= head_dim ? V::load(x + t) : V::load(x + t, head_dim - t);
    };
    V magnitude = V::zero();
    V nothing = V::zero();  // NaN from an infinity or NaN
    for (int32_t t = 0; t < head_dim; t += 16) {
        const V value = value_at(t);
        magnitude = V::max(magnitude, value.magnitude());
        nothing = V::fma(value, V::zero(), nothing);
    }
    const float largest = magnitude.largest();
    const bool none = largest < kBlockFloor;
    *scale = (none ? 0.0f : largest / 127.0f) + nothing.total();
    const V factor = V::all(none ? 0.0f : 127.0f / largest);
    for (int32_t t = 0; t < head_dim; t += 16)
        quantised(value_at(t), factor).store_int8(q + t);
}

template <typename V>
void rms_norm(int32_t m, int32_t k, const float* x, int64_t x_stride, const float* weight,
              float eps, float* y, int64_t y_stride) noexcept {
    for (int64_t i = 0; i < m; ++i) {
        const float* row = x + i * x_stride;
        float* out = y + i * y_stride;
        typename V::Squares sum = V::Squares::zero();
        int32_t t = 0;
        for (; t + 16 <= k; t += 16)
            sum.add(V::load(row + t));
        if (t < k) sum.add(V::load(row + t, k - t));
        const auto mean = static_cast<float>(sum.total() / k);
        const V factor = V::all(1.0f / __builtin_sqrtf(mean + eps));
        for (t = 0; t + 16 <= k; t += 16)
            (V::load(row + t) * factor * V::load(weight + t)).store(out + t);
        if (t < k) {
            const int32_t tail = k - t;
            (V::load(row + t, tail) * factor * V::load(weight + t, tail)).store(out + t, tail);
        }
    }
}

// a[t] = f(a[t], b[t]) over count values.
template <typename V, typename F>
inline void for_each(int64_t count, float* a, const float* b, F f) {
    int64_t t = 0;
    for (; t + 16 <= count; t += 16)
        f(V::load(a + t), V::load(b + t)).store(a + t);
    if (t < count) {
        const int64_t tail = count - t;
        f(V::load(a + t, tail), V::load(b + t, tail)).store(a + t, tail);
    }
}

template <typename V>
void add_in_place(int64_t count, const float* y, float* x) noexcept {
    for_each<V>(count, x, y, [](V a, V b) { return a + b; });
}

template <typename V>
void relu2_gate(int64_t count, float* gate, const float* up) noexcept {
    for_each<V>(count, gate, up, [](V g, V u) {
        const V r = V::max(g, V::zero());
        return r * r * u;
    });
}

template <typename V>
void silu_gate(int64_t count, float* gate, const float* up) noexcept {
    for_each<V>(count, gate, up, [](V g, V u) { return g / (V::all(1.0f) + exp_of(-g)) * u; });
}

template <typename V>
void gelu_gate(int64_t count, float* gate, const float* up) noexcept {
    for_each<V>(count, gate, up, [](V x, V u) {
        const V cubic = V::fma(V::all(kGeluCube), x * x, V::all(1.0f));
        return x / (V::all(1.0f) + exp_of(V::all(kGeluTwice) * x * cubic)) * u;
    });
}

// x[t] = f(x[t]) over count values.
template <typename V, typename F>
inline void for_each(int64_t count, float* x, F f) {
    int64_t t = 0;
    for (; t + 16 <= count; t += 16)
        f(V::load(x + t)).store(x + t);
    if (t < count) f(V::load(x + t, count - t)).store(x + t, count - t);
}

template <typename V>
void scale_in_place(int64_t count, float factor, float* x) noexcept {
    for_each<V>(count, x, [factor](V v) { return v * V::all(factor); });
}

template <typename V>
void soft_cap(int64_t count, float cap, float* x) noexcept {
    for_each<V>(count, x, [cap](V v) {
        const V power = exp_of(V::all(2.0f) * (v / V::all(cap)));
        return V::all(cap) * (V::all(1.0f) - V::all(2.0f) / (power + V::all(1.0f)));
    });
}

template <typename V>
void rope_neox(int32_t heads, int32_t head_dim, int32_t n_rot, const float* cos_sin,
               float* x) noexcept {
    const int32_t half = n_rot / 2;
    for (int64_t h = 0; h < heads; ++h) {
        float* first = x + h * head_dim;
        float* second = first + half;
        for (int32_t p = 0; p < half; p += 16) {
            const int32_t count = half - p < 16 ? half - p : 16;
            const V a = V::load(first + p, count);
            const V b = V::load(second + p, count);
            const V cos = V::load(cos_sin + p, count);
            const V sin = V::load(cos_sin + half + p, count);
            (a * cos - b * sin).store(first + p, count);
            (a * sin + b * cos).store(second + p, count);
        }
    }
}

// Both of a pair side by side: even lanes a * cos - b * sin, odd lanes b * cos + a * sin.
template <typename V>
void rope_norm(int32_t heads, int32_t head_dim, int32_t n_rot, const float* cos_sin,
               float* x) noexcept {
    const int32_t half = n_rot / 2;
    for (int64_t h = 0; h < heads; ++h) {
        float* head = x + h * head_dim;
        for (int32_t p = 0; p < half; p += 8) {
            const int32_t pairs = half - p < 8 ? half - p : 8;
            const V pair = V::load(head + 2 * p, 2 * pairs);
            const V cos = V::load(cos_sin + p, pairs).lower_twice();
            const V sin = V::load(cos_sin + half + p, pairs).lower_twice().even_negated();
            (pair * cos + pair.neighbours() * sin).store(head + 2 * p, 2 * pairs);
        }
    }
}

// y[t] = x[t] between float and a 16-bit type.
template <typename V, typename From, typename To>
void convert(int64_t count, const From* x, To* y) noexcept {
    int64_t t = 0;
    for (; t + 16 <= count; t += 16)
        V::load(x + t).store(y + t);
    if (t < count) V::load(x + t, count - t).store(y + t, count - t);
}

}  // namespace bitnetd::kernels::lanes
