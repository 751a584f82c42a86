// Rows rounded to int8, where no norm comes before.
//   x  float [m][k]
// A block of up to 512 threads takes a row: reads it twice, the second time from the first cache.
// 5 bytes a value, and with few rows bound by the time of two passes and two reductions. Not
// measured on a device yet.
#pragma once

#include "worker/kernels/cuda/rounding.cuh"

namespace bitnetd::kernels::cuda {
namespace {

BITNETD_KERNEL(kRowThreadsMax)
void round_rows_kernel(RowShape shape, const float* x, Rounded to) {
    wait_for_earlier_launches();
    const float* const row = x + int64_t{block_x()} * shape.k;
    float largest = 0.0f;
    for (int32_t quad = thread_index(); quad * kQuad < shape.k; quad += thread_count())
        largest = Maximum{}(largest, largest_of(load_quad(row, shape, quad)));
    round_row(row, shape, largest, block_x(), to);
}

BITNETD_KERNEL(kRowThreadsMax)
void round_blocks_kernel(RowShape shape, const float* x, Rounded to) {
    wait_for_earlier_launches();
    round_blocks(x + int64_t{block_x()} * shape.k, shape, block_x(), to);
}

void round(Stream stream, int32_t m, int32_t k, const float* x, Rounding rounding,
           const Rounded& to) noexcept {
    if (rounding == Rounding::kNone) return;
    const auto kernel = rounding == Rounding::kRows ? round_rows_kernel : round_blocks_kernel;
    launch(stream, {static_cast<uint32_t>(m)}, row_threads(k), 0, kernel, RowShape(k), x, to);
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
