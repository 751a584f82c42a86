// Products of float matrices with few rows: y[i][j] = sum over t of x[i][t] * w[j][t] in the 16
// virtual lanes of kernel_api.h, for w in F32, F16 or BF16.
//
// Eight neighbouring threads make a row of w: thread p keeps lanes 2p and 2p + 1, so that a step of
// 16 columns is one load of 32 or 64 neighbouring bytes and the lanes' tree needs three shuffles.
//   w      [n][k]   read once from memory for kRows rows of x, again from the second cache for
//                   more
//   x      float [m][k], small enough for the first cache
// Bound by memory: 2 or 4 bytes for 2 kRows operations; a thread keeps kAhead loads in flight. Not
// measured on a device yet.
#pragma once

#include "worker/kernels/cuda/products.cuh"

namespace bitnetd::kernels::cuda {
namespace {

inline constexpr int32_t kVirtualLanes = 16;

inline constexpr int32_t kFloatRowsThreads = 128;
inline constexpr int32_t kLaneThreads = 8;  // of a row of w
inline constexpr int32_t kFloatRowsSlots = kFloatRowsThreads / kLaneThreads;

template <typename T>
struct Pair {
    T first;
    T second;
};

// Elements t and t + 1, at once where the row begins at a whole pair.
template <bool kPairs, typename T>
BITNETD_DEVICE Pair<T> load_pair(const T* row, int64_t t) {
    if constexpr (kPairs) {
        struct alignas(2 * sizeof(T)) Aligned {
            T values[2];
        };
        const Aligned both = *reinterpret_cast<const Aligned*>(row + t);
        return {both.values[0], both.values[1]};
    } else {
        return {row[t], row[t + 1]};
    }
}

// Two lanes of the sums of kRows rows of x with kOutputs rows of w.
template <typename T, int kRows, int kOutputs, bool kPairs>
struct LanePair {
    const T* w[kOutputs];
    const float* x[kRows];
    float sum[kRows][kOutputs][2] = {};

    // A step of 16 columns; this thread's begin at t.
    BITNETD_DEVICE void add(const Pair<T> (&weights)[kOutputs], int64_t t) {
        BITNETD_UNROLL
        for (int i = 0; i < kRows; ++i) {
            const Pair<float> value = load_pair<kPairs>(x[i], t);
            BITNETD_UNROLL
            for (int o = 0; o < kOutputs; ++o) {
                sum[i][o][0] = fma(value.first, to_float(weights[o].first), sum[i][o][0]);
                sum[i][o][1] = fma(value.second, to_float(weights[o].second), sum[i][o][1]);
            }
        }
    }
    BITNETD_DEVICE void load(Pair<T> (&weights)[kOutputs], int64_t t) const {
        BITNETD_UNROLL
        for (int o = 0; o < kOutputs; ++o)
            weights[o] = load_pair<kPairs>(w[o], t);
    }
    // The last step, where it has fewer than 16 columns.
    BITNETD_DEVICE void add_tail(int64_t t, int64_t k) {
        BITNETD_UNROLL
        for (int i = 0; i < kRows; ++i) {
            BITNETD_UNROLL
            for (int o = 0; o < kOutputs; ++o) {
                BITNETD_UNROLL
                for (int half = 0; half < 2; ++half) {
                    if (t + half >= k) continue;
                    sum[i][o][half] =
                        fma(x[i][t + half], to_float(w[o][t + half]), sum[i][o][half]);
                }
            }
        }
    }
    // The tree over the lanes, whole in every thread.
    BITNETD_DEVICE float total(int i, int o) const {
        float low = sum[i][o][0];
        float high = sum[i][o][1];
        BITNETD_UNROLL
        for (int32_t bits = kLaneThreads / 2; bits >= 1; bits /= 2) {
            low += shuffle_xor(low, bits);
            high += shuffle_xor(high, bits);
        }
        return low + high;
    }
};

template <typename T, int kRows, int kOutputs, bool kPairs>
BITNETD_KERNEL(kFloatRowsThreads)
void float_rows_kernel(int32_t m, BITNETD_IN_PLACE Products products, const float* x, Finish how) {
    constexpr int kAhead = 8 / kOutputs;
    const Product& product = product_of(products);
    const int64_t n = product.w.rows;
    const int64_t k = product.w.columns;
    const int64_t first_j = int64_t{block_x()} * (kFloatRowsSlots * kOutputs);
    if (first_j >= n) return;
    const int64_t first_i = int64_t{block_y()} * kRows;
    const int64_t j = first_j + thread_index() / kLaneThreads;
    const int32_t part = thread_index() % kLaneThreads;

    // Rows beyond the last one are computed as the last one, and not stored.
    LanePair<T, kRows, kOutputs, kPairs> sums;
    for (int o = 0; o < kOutputs; ++o) {
        const int64_t row = j + o * kFloatRowsSlots;
        sums.w[o] = reinterpret_cast<const T*>(product.w.data) + (row < n ? row : n - 1) * k;
    }
    for (int i = 0; i < kRows; ++i)
        sums.x[i] = x + (first_i + i < m ? first_i + i : m - 1) * k;

    wait_for_earlier_launches();
    int64_t t = 2 * part;
    const int64_t whole = k / kVirtualLanes * kVirtualLanes;
    for (; t + (kAhead - 1) * kVirtualLanes < whole; t += kAhead * kVirtualLanes) {
        Pair<T> weights[kAhead][kOutputs];
        BITNETD_UNROLL
        for (int step = 0; step < kAhead; ++step)
            sums.load(weights[step], t + step * kVirtualLanes);
        BITNETD_UNROLL
        for (int step = 0; step < kAhead; ++step)
            sums.add(weights[step], t + step * kVirtualLanes);
    }
    for (; t < whole; t += kVirtualLanes) {
        Pair<T> weights[kOutputs];
        sums.load(weights, t);
        sums.add(weights, t);
    }
    sums.add_tail(t, k);
    BITNETD_UNROLL
    for (int i = 0; i < kRows; ++i) {
        BITNETD_UNROLL
        for (int o = 0; o < kOutputs; ++o) {
            const float total = sums.total(i, o);
            const int64_t row = j + o * kFloatRowsSlots;
            if (part == (i * kOutputs + o) % kLaneThreads && first_i + i < m && row < n)
                finish(product, how, first_i + i, row, total);
        }
    }
}

template <typename T>
void multiply_float_rows(Stream stream, int32_t m, std::span<const Product> products,
                         const float* x, const Finish& how) {
    const Products copy = copy_of(products);
    const auto put = [&]<int kRows, int kOutputs, bool kPairs>() {
        launch(stream, product_grid(products, kFloatRowsSlots * kOutputs, m, kRows),
               kFloatRowsThreads, 0, float_rows_kernel<T, kRows, kOutputs, kPairs>, m, copy, x,
               how);
    };
    if (products[0].w.columns % 2 != 0) {
        put.template operator()<1, 1, false>();
    } else if (m == 1) {
        put.template operator()<1, 1, true>();
    } else {
        put.template operator()<4, 2, true>();
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
