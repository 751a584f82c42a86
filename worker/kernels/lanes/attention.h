// Attention of one query row over pages of keys and values, with an online softmax by absolute
// position (kernel_api.h). Written once; V is an instruction set's F32x16, T the stored type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/kernel_api.h"
#include "worker/kernels/lanes/dots.h"
#include "worker/kernels/lanes/exp.h"

namespace bitnetd::kernels::lanes {

// Heads that share a kv head are walked together, page by page, so that a page is still in the
// first cache when the next head reads it. 4 heads' sums are 8 KiB of stack.
constexpr int kHeadsTogether = 4;

// The online softmax of one head. acc is padded to whole vectors; lanes beyond head_dim hold
// products with the page's padding and are never stored.
struct HeadState {
    float largest;
    float sum;
    float acc[kHeadDimMax];
};

// acc[d] += weight[p] * value[p][d] in order of p, for N vectors of d.
template <typename V, typename T, int N>
inline void add_values(const float* weight, int32_t positions, const T* values, int64_t row,
                       float* acc) {
    V sum[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i)
        sum[i] = V::load(acc + 16 * i);
    for (int32_t p = 0; p < positions; ++p) {
        const V factor = V::all(weight[p]);
        const T* value = values + p * row;
#pragma GCC unroll 8
        for (int i = 0; i < N; ++i)
            sum[i] = V::fma(factor, V::load(value + 16 * i), sum[i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i)
        sum[i].store(acc + 16 * i);
}

// Takes one page of keys and values into the state of one head.
template <typename V, typename T>
inline void take_page(HeadState& state, const float* q, const T* keys, const T* values,
                      int32_t positions, int32_t head_dim, int32_t row, float scale) {
    float score[kPageTokensMax];
    dot_rows<V>(q, keys, row, positions, head_dim, score);
    float largest = state.largest;
    for (int32_t p = 0; p < positions; ++p) {
        score[p] *= scale;
        largest = score[p] > largest ? score[p] : largest;
    }
    if (largest > state.largest) {
        const V shrink = exp_of(V::all(state.largest - largest));
        for (int32_t d = 0; d < row; d += 16)
            (V::load(state.acc + d) * shrink).store(state.acc + d);
        (V::all(state.sum) * shrink).store(&state.sum, 1);
        state.largest = largest;
    }
    for (int32_t p = 0; p < positions; p += 16) {
        const int32_t count = positions - p < 16 ? positions - p : 16;
        exp_of(V::load(score + p, count) - V::all(largest)).store(score + p, count);
    }
    for (int32_t p = 0; p < positions; ++p)
        state.sum += score[p];

    int32_t d = 0;
    for (; d + 16 * V::kDots <= row; d += 16 * V::kDots) {
        add_values<V, T, V::kDots>(score, positions, values + d, row, state.acc + d);
    }
    for (; d < row; d += 16)
        add_values<V, T, 1>(score, positions, values + d, row, state.acc + d);
}

template <typename V, typename T>
void attention(const KvView& kv, int32_t heads, int32_t head_begin, int32_t head_end, int32_t first,
               int32_t count, float scale, const float* q, float* out) noexcept {
    const int32_t heads_per_kv = heads / kv.kv_heads;
    const int32_t row = (kv.head_dim + 15) / 16 * 16;
    HeadState state[kHeadsTogether];
    for (int32_t h = head_begin; h < head_end;) {
        const int32_t kv_head = h / heads_per_kv;
        const int32_t group_end = (kv_head + 1) * heads_per_kv;
        int32_t together = (group_end < head_end ? group_end : head_end) - h;
        together = together < kHeadsTogether ? together : kHeadsTogether;
        for (int32_t i = 0; i < together; ++i) {
            state[i].largest = -__builtin_inff();
            state[i].sum = 0.0f;
            for (int32_t d = 0; d < row; d += 16)
                V::zero().store(state[i].acc + d);
        }
        const int64_t head_offset = static_cast<int64_t>(kv_head) * kv.page_tokens * row;
        const float* query = q + static_cast<int64_t>(h) * kv.head_dim;
        float* result = out + static_cast<int64_t>(h) * kv.head_dim;
        for (int32_t begin = first; begin < count;) {
            const int32_t in_page = begin % kv.page_tokens;
            const int64_t offset = head_offset + static_cast<int64_t>(in_page) * row;
            const std::byte* page = kv.pages[begin / kv.page_tokens];
            const T* keys = reinterpret_cast<const T*>(page + kv.k_offset) + offset;
            const T* values = reinterpret_cast<const T*>(page + kv.v_offset) + offset;
            const int32_t left = count - begin;
            const int32_t room = kv.page_tokens - in_page;
            const int32_t positions = left < room ? left : room;
            for (int32_t i = 0; i < together; ++i) {
                take_page<V>(state[i], query + static_cast<int64_t>(i) * kv.head_dim, keys, values,
                             positions, kv.head_dim, row, scale);
            }
            begin += positions;
        }
        for (int32_t i = 0; i < together; ++i) {
            float* head_out = result + static_cast<int64_t>(i) * kv.head_dim;
            const V share = V::all(1.0f / state[i].sum);
            for (int32_t d = 0; d < kv.head_dim; d += 16) {
                const int32_t left = kv.head_dim - d < 16 ? kv.head_dim - d : 16;
                (V::load(state[i].acc + d) * share).store(head_out + d, left);
            }
        }
        h += together;
    }
}

}  // namespace bitnetd::kernels::lanes
