// One KernelTable from an instruction set's three types: F32x16 for the floats, TernaryDot for the
// ternary product, BlockDot for products of packed blocks.
#pragma once

#include "worker/kernels/kernel_api.h"
#include "worker/kernels/lanes/attention.h"
#include "worker/kernels/lanes/block_gemm.h"
#include "worker/kernels/lanes/block_matmul.h"
#include "worker/kernels/lanes/matmul.h"
#include "worker/kernels/lanes/rows.h"
#include "worker/kernels/lanes/ternary_gemm.h"

namespace bitnetd::kernels::lanes {

template <typename V, typename D, typename B>
constexpr KernelTable make_table(const char* name) {
    return {
        .name = name,
        .quantise_rows = quantise_rows<V>,
        .ternary_gemm = ternary_gemm<D>,
        .ternary_ways = {{"packed", ternary_gemm<D>, 1}, {}},
        .quantise_blocks = quantise_blocks<V>,
        .block_gemm = block_gemm<V, B>,
        .block_matmul = block_matmul<V, B>,
        .block_row = block_row<V>,
        .rms_norm = rms_norm<V>,
        .add_in_place = add_in_place<V>,
        .relu2_gate = relu2_gate<V>,
        .silu_gate = silu_gate<V>,
        .gelu_gate = gelu_gate<V>,
        .scale_in_place = scale_in_place<V>,
        .soft_cap = soft_cap<V>,
        .rope_neox = rope_neox<V>,
        .rope_norm = rope_norm<V>,
        .f16_to_f32 = convert<V, uint16_t, float>,
        .bf16_to_f32 = convert<V, Bf16, float>,
        .f32_to_f16 = convert<V, float, uint16_t>,
        .f32_to_bf16 = convert<V, float, Bf16>,
        .matmul_f16 = matmul<V, uint16_t>,
        .matmul_bf16 = matmul<V, Bf16>,
        .matmul_f32 = matmul<V, float>,
        .matmul_bf16_dot = nullptr,
        .attention_f32 = attention<V, float>,
        .attention_f16 = attention<V, uint16_t>,
        .attention_int8 = attention<V, int8_t>,
        .quantise_head = quantise_head<V>,
    };
}

}  // namespace bitnetd::kernels::lanes
