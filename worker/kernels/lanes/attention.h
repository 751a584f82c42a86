// Attention of one query row over pages of keys and values, with an online softmax by absolute
// position (kernel_api.h). Written once; V is an instruction set's F32x16, T the stored type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/kernel_api.h"
#include "worker/kernels/lanes/dots.h"
#include "worker/kernels/lanes/exp.h"

namespace bitnetd::kernels::lanes {

// Heads that share a kv head are walked together, page by page, so that a key or value is loaded
// and widened once for all of them. 4 heads' sums are 8 KiB of stack.
constexpr int kHeadsTogether = 4;

// The online softmax of one head. acc is padded to whole vectors; lanes beyond head_dim hold
// products with the page's padding and are never stored.
struct HeadState {
    float largest;
    float sum;
    float acc[kHeadDimMax];
    float score[kPageTokensMax];  // of the page that is being taken; then exp(score - largest),
                                  // times the value's scale where it has one
};

// Whether rows are codes that share a scale each.
template <typename T>
constexpr bool kScaled = sizeof(T) == 1;

// Keys or values of one head from a position of a page on.
template <typename T>
struct HeadRows {
    const T* rows;
    const float* scales;  // of these rows, where they have any
};

// Part of a page: what all heads of a group attend to next.
template <typename T>
struct PageSpan {
    HeadRows<T> keys;
    HeadRows<T> values;
    int32_t positions;
    int32_t head_dim;
    int32_t row;  // head_dim with its padding
};

template <typename T>
inline HeadRows<T> head_rows(const KvView& kv, const std::byte* plane, int32_t kv_head,
                             int32_t in_page, int64_t row) {
    const int64_t rows_bytes = kv.page_tokens * row * static_cast<int64_t>(sizeof(T));
    const int64_t scales_bytes =
        kScaled<T> ? kv.page_tokens * static_cast<int64_t>(sizeof(float)) : 0;
    const std::byte* head = plane + kv_head * (rows_bytes + scales_bytes);
    return {reinterpret_cast<const T*>(head) + in_page * row,
            reinterpret_cast<const float*>(head + rows_bytes) + in_page};
}

// state[i].score[p] = q[i] . keys[p] for M heads.
template <typename V, typename T, int M>
inline void score_keys(HeadState* state, const float* q, const PageSpan<T>& page) {
    constexpr int N = V::kTileSums / M;  // keys at a time
    constexpr int kKeys = 8 / M < N ? N : 8 / M;
    constexpr int kAcross = kKeys / N;
    int32_t p = 0;
    for (; p + kKeys <= page.positions; p += kKeys) {
        V acc[kAcross * M * N];
        for (int i = 0; i < kAcross; ++i) {
            dot_tile<V, T, M, N>(q, page.head_dim, page.keys.rows + int64_t{p + i * N} * page.row,
                                 page.row, page.head_dim, acc + i * M * N);
        }
        float total[kAcross * M * N];
        for (int i = 0; i < kAcross * M * N; i += 8)
            total_8<V>(acc + i, total + i);
        for (int i = 0; i < kAcross * M * N; ++i)
            state[i / N % M].score[p + i / (M * N) * N + i % N] = total[i];
    }
    for (; p < page.positions; ++p) {
        V acc[M];
        dot_tile<V, T, M, 1>(q, page.head_dim, page.keys.rows + int64_t{p} * page.row, page.row,
                             page.head_dim, acc);
        for (int i = 0; i < M; ++i)
            state[i].score[p] = acc[i].total();
    }
}

// Products with keys become scores. Returns the largest of them and of all before.
template <typename V, typename T>
inline float scale_products(HeadState& state, const PageSpan<T>& page, float scale) {
    V largest = V::all(state.largest);
    for (int32_t p = 0; p < page.positions; p += 16) {
        const int32_t count = page.positions - p < 16 ? page.positions - p : 16;
        V score = V::load(state.score + p, count);
        if constexpr (kScaled<T>) score = score * V::load(page.keys.scales + p, count);
        score = score * V::all(scale);
        score.store(state.score + p, count);
        largest = V::select(count, V::max(score, largest), largest);
    }
    return largest.largest();
}

// Weights become factors of the values' codes.
template <typename V, typename T>
inline void scale_weights(HeadState& state, const PageSpan<T>& page) {
    for (int32_t p = 0; p < page.positions; p += 16) {
        const int32_t count = page.positions - p < 16 ? page.positions - p : 16;
        const V scales = V::load(page.values.scales + p, count);
        (V::load(state.score + p, count) * scales).store(state.score + p, count);
    }
}

// Turns a head's products into weights, after what it has summed so far has been scaled to the new
// largest score.
template <typename V, typename T>
inline void weigh_scores(HeadState& state, const PageSpan<T>& page, float scale) {
    const float largest = scale_products<V>(state, page, scale);
    if (largest > state.largest) {
        const V shrink = exp_of(V::all(state.largest - largest));
        for (int32_t d = 0; d < page.row; d += 16)
            (V::load(state.acc + d) * shrink).store(state.acc + d);
        (V::all(state.sum) * shrink).store(&state.sum, 1);
        state.largest = largest;
    }
    for (int32_t p = 0; p < page.positions; p += 16) {
        const int32_t count = page.positions - p < 16 ? page.positions - p : 16;
        exp_of(V::load(state.score + p, count) - V::all(largest)).store(state.score + p, count);
    }
}

// state[i].acc[d] += weight[p] * value[p][d] in order of p, for N vectors from dimension d on and M
// heads.
template <typename V, typename T, int M, int N>
inline void add_values(HeadState* state, const PageSpan<T>& page, int32_t d) {
    V sum[M * N];
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        sum[i] = V::load(state[i / N].acc + d + 16 * (i % N));
    const T* value = page.values.rows + d;
    for (int32_t p = 0; p < page.positions; ++p, value += page.row) {
        V at[N];
#pragma GCC unroll 16
        for (int j = 0; j < N; ++j)
            at[j] = V::load(value + 16 * j);
#pragma GCC unroll 16
        for (int i = 0; i < M; ++i) {
            const V weight = V::all(state[i].score[p]);
#pragma GCC unroll 16
            for (int j = 0; j < N; ++j)
                sum[i * N + j] = V::fma(weight, at[j], sum[i * N + j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M * N; ++i)
        sum[i].store(state[i / N].acc + d + 16 * (i % N));
}

// Takes a page into the states of M heads.
template <typename V, typename T, int M>
inline void take_page(HeadState* state, const float* q, const PageSpan<T>& page, float scale) {
    score_keys<V, T, M>(state, q, page);
    for (int i = 0; i < M; ++i)
        weigh_scores<V>(state[i], page, scale);
    for (int32_t p = 0; p < page.positions; ++p) {
#pragma GCC unroll 4
        for (int i = 0; i < M; ++i)
            state[i].sum += state[i].score[p];
    }
    if constexpr (kScaled<T>) {
        for (int i = 0; i < M; ++i)
            scale_weights<V>(state[i], page);
    }
    constexpr int N = V::kTileSums / M;
    int32_t d = 0;
    for (; d + 16 * N <= page.row; d += 16 * N)
        add_values<V, T, M, N>(state, page, d);
    for (; d < page.row; d += 16)
        add_values<V, T, M, 1>(state, page, d);
}

// The same for `heads` heads, at most kHeadsTogether, as many at a time as there are registers for.
template <typename V, typename T>
inline void take_page(HeadState* state, int32_t heads, const float* q, const PageSpan<T>& page,
                      float scale) {
    int32_t i = 0;
    const auto take = [&]<int M>() {
        take_page<V, T, M>(state + i, q + int64_t{i} * page.head_dim, page, scale);
        i += M;
    };
    if constexpr (V::kTileHeads >= 4) {
        while (i + 4 <= heads)
            take.template operator()<4>();
    }
    while (i + 2 <= heads)
        take.template operator()<2>();
    if (i < heads) take.template operator()<1>();
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
        const float* query = q + static_cast<int64_t>(h) * kv.head_dim;
        float* result = out + static_cast<int64_t>(h) * kv.head_dim;
        for (int32_t begin = first; begin < count;) {
            const int32_t in_page = begin % kv.page_tokens;
            const std::byte* page = kv.pages[begin / kv.page_tokens];
            const int32_t left = count - begin;
            const int32_t room = kv.page_tokens - in_page;
            const int32_t positions = left < room ? left : room;
            const PageSpan<T> span{head_rows<T>(kv, page + kv.k_offset, kv_head, in_page, row),
                                   head_rows<T>(kv, page + kv.v_offset, kv_head, in_page, row),
                                   positions, kv.head_dim, row};
            take_page<V>(state, together, query, span, scale);
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
