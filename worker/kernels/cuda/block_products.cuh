// Products of block matrices, by how many rows there are and whether they are rounded.
#pragma once

#include "worker/kernels/cuda/block_floats.cuh"
#include "worker/kernels/cuda/block_rows.cuh"
#include "worker/kernels/cuda/block_tiles.cuh"

namespace bitnetd::kernels::cuda {
namespace {

// From so many rows on, the tensor cores are used: below, a warp that walks a stripe alone has too
// few loads on the way.
inline constexpr int32_t kBlockTilesFrom = 17;

// Matrices of block formats; neighbours of one format share a launch. x serves without rounding.
void multiply_block_matrices(Stream stream, int32_t m, std::span<const Product> products,
                             Rounding rounding, const Rounded& rounded, const float* x,
                             const Finish& how) {
    while (!products.empty()) {
        size_t count = 1;
        while (count < products.size() &&
               products[count].w.block_format == products[0].w.block_format)
            ++count;
        const std::span<const Product> some = products.first(count);
        const RoundedRows rows{rounded.values, rounded.scales, rounded.sums};
        if (rounding == Rounding::kNone) {
            multiply_block_floats(stream, m, some, x, how);
        } else if (m < kBlockTilesFrom) {
            multiply_block_rows(stream, m, some, rows, how);
        } else {
            multiply_block_tiles(stream, m, some, rows, how);
        }
        products = products.subspan(count);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
