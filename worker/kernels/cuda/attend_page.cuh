// What a block does with one page of keys and values for up to 16 queries: scores, weights, sums
// (kernel_api.h, Attention). A query is one head of one row. Between the three parts lies a
// barrier of the block.
#pragma once

#include <limits>

#include "worker/kernels/cuda/numbers.cuh"
#include "worker/kernels/cuda/pages.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kPagePositions = 32;  // of a page: a warp's lanes take one each
inline constexpr int32_t kQueriesMax = 16;
inline constexpr int32_t kLaneCount = 16;  // virtual lanes of a score
// Queries of a thread: of a score, where the tile of keys has 32 positions; of a weight, where the
// block has four warps.
inline constexpr int32_t kThreadQueries = 4;
// Factors of one position: all queries, and room so that lanes that write them use more banks.
inline constexpr int32_t kFactorStride = kQueriesMax + 4;
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Positions of a page: begin .. end - 1, possibly none.
struct Span {
    int32_t begin;
    int32_t end;

    BITNETD_DEVICE bool has(int32_t p) const { return p >= begin && p < end; }
};

// The block's shared memory beside queries and keys.
struct QueryState {
    float score[kQueriesMax][kPagePositions];  // then weights
    float factor[kPagePositions][kFactorStride];
    float shrink[kQueriesMax];
    float share[kQueriesMax];
};

// A thread's part of the scores of a tile of keys.
template <typename T>
struct ScoreSums {
    float lane[kThreadQueries][kLaneCount] = {};

    // A key with `queries` queries, q_stride floats apart. Rows of both begin at 16 bytes.
    BITNETD_DEVICE void add_row(const T* key, const float* q, int32_t q_stride, int32_t queries,
                                int32_t head_dim) {
        int32_t t = 0;
        for (; t + kLaneCount <= head_dim; t += kLaneCount)
            add(key + t, q + t, q_stride, queries, kLaneCount);
        if (t < head_dim) add(key + t, q + t, q_stride, queries, head_dim - t);
    }
    BITNETD_DEVICE float total(int32_t i) { return tree<kLaneCount / 2>(lane[i]); }

  private:
    template <int32_t kHalf>
    static BITNETD_DEVICE float tree(float (&v)[kLaneCount]) {
        BITNETD_UNROLL
        for (int32_t l = 0; l < kHalf; ++l)
            v[l] += v[l + kHalf];
        if constexpr (kHalf > 1) tree<kHalf / 2>(v);
        return v[0];
    }
    // Sixteen columns, or the `count` that are left.
    BITNETD_DEVICE void add(const T* key, const float* q, int32_t q_stride, int32_t queries,
                            int32_t count) {
        float value[kLaneCount];
        load(key, value);
        BITNETD_UNROLL
        for (int32_t i = 0; i < kThreadQueries; ++i) {
            if (i >= queries) break;
            float query[kLaneCount];
            load(q + i * q_stride, query);
            BITNETD_UNROLL
            for (int32_t l = 0; l < kLaneCount; ++l) {
                if (l < count) lane[i][l] = fma(query[l], value[l], lane[i][l]);
            }
        }
    }
    template <typename Stored>
    static BITNETD_DEVICE void load(const Stored* from, float (&value)[kLaneCount]) {
        constexpr int32_t kEach = 16 / sizeof(Stored);
        struct alignas(16) Vector {
            Stored value[kEach];
        };
        BITNETD_UNROLL
        for (int32_t v = 0; v < kLaneCount / kEach; ++v) {
            const Vector vector = reinterpret_cast<const Vector*>(from)[v];
            BITNETD_UNROLL
            for (int32_t l = 0; l < kEach; ++l)
                value[v * kEach + l] = to_float(vector.value[l]);
        }
    }
};

// The online softmax of a warp's queries: query warp, warp + warps, ... The same in all lanes, but
// the sum, which lane i keeps of the warp's query i.
struct Softmax {
    float largest[kThreadQueries];
    float sum = 0.0f;

    BITNETD_DEVICE Softmax() {
        BITNETD_UNROLL
        for (float& one : largest)
            one = -kInfinity;
    }

    // Scores of one page become weights, and factors of its values. span_of(query): the positions
    // of the page that it attends to.
    template <typename T, typename SpanOf>
    BITNETD_DEVICE void take(QueryState& state, int32_t queries, const HeadRows<T>& values,
                             const SpanOf& span_of) {
        const int32_t warps = thread_count() / kWarp;
        const int32_t p = lane_index();
        BITNETD_UNROLL
        for (int32_t i = 0; i < kThreadQueries; ++i) {
            const int32_t query = warp_index() + i * warps;
            if (query >= queries) break;
            const bool is_there = span_of(query).has(p);
            const float score = is_there ? state.score[query][p] : -kInfinity;
            const float page_largest = largest_of(score);
            float shrink = 1.0f;
            if (page_largest > largest[i]) {
                shrink = exp_of(largest[i] - page_largest);
                largest[i] = page_largest;
            }
            const float weight = exp_of(score - largest[i]);
            state.score[query][p] = weight;
            float factor = weight;
            if constexpr (HeadRows<T>::kScaled) factor = weight * values.scale(p);
            if (is_there) state.factor[p][query] = factor;
            if (p == 0) state.shrink[query] = shrink;
        }
        warp_barrier();  // lanes add up what others weighed
        const int32_t query = warp_index() + lane_index() * warps;
        if (query >= queries) return;
        sum *= state.shrink[query];
        const Span span = span_of(query);
        for (int32_t at = span.begin; at < span.end; ++at)
            sum += state.score[query][at];
    }
    // What the queries' sums of values are multiplied by.
    BITNETD_DEVICE void finish(QueryState& state, int32_t queries) const {
        const int32_t query = warp_index() + lane_index() * (thread_count() / kWarp);
        if (query < queries) state.share[query] = 1.0f / sum;
    }

  private:
    // Of the warp; NaN is not larger than anything.
    static BITNETD_DEVICE float largest_of(float score) {
        float found = score > -kInfinity ? score : -kInfinity;
        BITNETD_UNROLL
        for (int32_t bits = kWarp / 2; bits >= 1; bits /= 2) {
            const float other = shuffle_xor(found, bits);
            found = other > found ? other : found;
        }
        return found;
    }
};

// One dimension of all queries' sums of weighted values. A page's values of that dimension are
// loaded before its scores are made, so that they are there when they are wanted.
template <typename T>
struct ValueSums {
    float acc[kQueriesMax] = {};
    T value[kPagePositions];

    BITNETD_DEVICE void load(const HeadRows<T>& rows, int32_t d) {
        const T* const first = rows.row(0) + d;
        const int64_t stride = rows.row(1) - rows.row(0);
        BITNETD_UNROLL
        for (int32_t p = 0; p < kPagePositions; ++p)
            value[p] = first[p * stride];
    }
    // all: every query attends to the whole page.
    template <typename SpanOf>
    BITNETD_DEVICE void take(const QueryState& state, int32_t queries, bool all,
                             const SpanOf& span_of) {
        constexpr int32_t kTogether = 4;
        BITNETD_UNROLL
        for (int32_t first = 0; first < kQueriesMax; first += kTogether) {
            if (first >= queries) break;
            BITNETD_UNROLL
            for (int32_t i = first; i < first + kTogether; ++i) {
                if (i < queries) acc[i] *= state.shrink[i];
            }
            if (all && first + kTogether <= queries) {
                BITNETD_UNROLL
                for (int32_t p = 0; p < kPagePositions; ++p) {
                    BITNETD_UNROLL
                    for (int32_t i = first; i < first + kTogether; ++i)
                        acc[i] = fma(state.factor[p][i], to_float(value[p]), acc[i]);
                }
                continue;
            }
            BITNETD_UNROLL
            for (int32_t i = first; i < first + kTogether; ++i) {
                const Span span = i < queries ? span_of(i) : Span{0, 0};
                BITNETD_UNROLL
                for (int32_t p = 0; p < kPagePositions; ++p) {
                    if (span.has(p)) acc[i] = fma(state.factor[p][i], to_float(value[p]), acc[i]);
                }
            }
        }
    }
};

}  // namespace
}  // namespace bitnetd::kernels::cuda
