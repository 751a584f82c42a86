// The kernels of worker/kernels/amx over emulated tiles, for tests on CPUs that have AVX-512 but
// not AMX.
#pragma once

#include <cstdint>

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels::amx_emulated {

// As amx's ternary_gemm; the few rows as AVX-512BW computes them.
void ternary_gemm(int32_t m, int32_t n, int32_t k_padded, const int8_t* q, const int32_t* q_sum,
                  const float* x_scale, const uint8_t* w, float w_scale, float* y,
                  int64_t y_stride) noexcept;

// The products of tiles so far, of all threads: says whether a shape went through the tiles.
uint64_t tile_products();

// quotients[i] = a[i] / b as divisor.h divides.
void divide_16(const float* a, float b, float* quotients);

}  // namespace bitnetd::kernels::amx_emulated
