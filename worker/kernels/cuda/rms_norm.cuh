// y = rms_norm(x) row by row, and the rounding of y, in one launch.
//   x       float [..][k]    row from[i], or i
//   weight  float [k]
//   y       float [m][k]     may be x
// A block of up to 512 threads takes a row. Reads it from memory once and from the first cache
// after that; 8 bytes a value, 9 with a rounding. With few rows bound by the time of three passes
// and their reductions. Not measured on a device yet.
//
// The reference adds the squares in sixteen long chains of doubles, which would take most of the
// time. But what comes of the sum is a float. All terms are positive, so a sum in any order is
// within k * 2^-53 of the exact one, relatively. Where everything within the errors of both orders
// gives the same float, that is the reference's; elsewhere, once in a million rows, one warp adds
// in the reference's order.
#pragma once

#include "worker/kernels/cuda/rounding.cuh"

namespace bitnetd::kernels::cuda {
namespace {

// As the reference adds: 16 lanes, each in order of t, then the tree. By the first warp; the others
// get the sum too.
BITNETD_DEVICE double sum_in_order(const float* row, int32_t k) {
    constexpr int32_t kChains = 16;
    BITNETD_SHARED double result;
    if (warp_index() == 0) {
        double sum = 0.0;
        for (int32_t t = lane_index() % kChains; t < k; t += kChains) {
            const double value = row[t];
            sum = fma(value, value, sum);
        }
        for (int32_t bits = kChains / 2; bits >= 1; bits /= 2)
            sum += shuffle_xor(sum, bits);
        if (lane_index() == 0) result = sum;
    }
    block_barrier();
    return result;
}

BITNETD_DEVICE float mean_square(const float* row, RowShape shape) {
    double sum = 0.0;
    for (int32_t quad = thread_index(); quad * kQuad < shape.k; quad += thread_count()) {
        const Quad values = load_quad(row, shape, quad);
        BITNETD_UNROLL
        for (int32_t i = 0; i < kQuad; ++i) {
            const double value = values.value[i];
            sum = fma(value, value, sum);
        }
    }
    sum = over_block(sum, 0.0, Sum{});
    // Each order adds at most k + 16 times, with an error of 2^-53 each time; doubled for the
    // rounding of what follows.
    const double error = (shape.k + 16) * 0x1p-51;
    const auto low = static_cast<float>((sum - sum * error) / shape.k);
    const auto high = static_cast<float>((sum + sum * error) / shape.k);
    if (low == high) return low;  // the same in all threads
    return static_cast<float>(sum_in_order(row, shape.k) / shape.k);
}

template <Rounding kRounding>
BITNETD_KERNEL(kRowThreadsMax)
void rms_norm_kernel(RowShape shape, const float* x, const uint32_t* from, const float* weight,
                     float eps, float* y, Rounded to) {
    wait_for_earlier_launches();
    const int64_t i = block_x();
    const float* const in = x + (from != nullptr ? from[i] : i) * shape.k;
    float* const out = y + i * shape.k;
    const float factor = 1.0f / square_root(mean_square(in, shape) + eps);
    float largest = 0.0f;
    for (int32_t quad = thread_index(); quad * kQuad < shape.k; quad += thread_count()) {
        Quad values = load_quad(in, shape, quad);
        const Quad weights = load_quad(weight, shape, quad);
        BITNETD_UNROLL
        for (int32_t t = 0; t < kQuad; ++t)
            values.value[t] = values.value[t] * factor * weights.value[t];
        store_quad(out, shape, quad, values);
        largest = Maximum{}(largest, largest_of(values));
    }
    if constexpr (kRounding == Rounding::kRows) round_row(out, shape, largest, i, to);
    if constexpr (kRounding == Rounding::kBlocks) round_blocks(out, shape, i, to);
}

void rms_norm(Stream stream, int32_t m, int32_t k, const float* x, const uint32_t* from,
              const float* weight, float eps, float* y, Rounding rounding,
              const Rounded& to) noexcept {
    const auto kernel = rounding == Rounding::kNone   ? rms_norm_kernel<Rounding::kNone>
                        : rounding == Rounding::kRows ? rms_norm_kernel<Rounding::kRows>
                                                      : rms_norm_kernel<Rounding::kBlocks>;
    launch(stream, {static_cast<uint32_t>(m)}, row_threads(k), 0, kernel, RowShape(k), x, from,
           weight, eps, y, to);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
