// The entry `multiply`: which product for which matrix, and for how many rows.
#pragma once

#include "worker/kernels/cuda/block_products.cuh"
#include "worker/kernels/cuda/float_tiles.cuh"
#include "worker/kernels/cuda/ternary_gemm.cuh"
#include "worker/kernels/cuda/ternary_rows.cuh"

namespace bitnetd::kernels::cuda {
namespace {

// From so many rows on, arithmetic takes longer than reading ternary weights: below, twice at most
// from the second cache. Counted, not measured.
inline constexpr int32_t kTernaryGemmFrom = 65;

void multiply(Stream stream, int32_t m, std::span<const Product> products, Rounding rounding,
              const Rounded& rounded, const float* x, Store store) noexcept {
    const Finish how{store, 0.0f};
    switch (products[0].w.kind) {
        case MatrixKind::kTernary:
            if (m < kTernaryGemmFrom)
                return multiply_ternary_rows(stream, m, products, rounded, store);
            return multiply_ternary_gemm(stream, m, products, rounded, store);
        case MatrixKind::kBlocks:
            return multiply_block_matrices(stream, m, products, rounding, rounded, x, how);
        case MatrixKind::kF32:
        case MatrixKind::kF16:
        case MatrixKind::kBf16:
            return multiply_float_matrices(stream, m, products, x, how);
    }
}

}  // namespace
}  // namespace bitnetd::kernels::cuda
