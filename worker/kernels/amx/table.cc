// The AMX-INT8 kernels: those of AVX-512 BF16, and the ternary product of many rows on tiles. This
// object may hold code that other CPUs cannot run, so it exports its table and nothing else
// (tests/lint/check_kernel_symbols). A process must have asked for the tiles (amx_permission.h).
#include "worker/kernels/lanes/table.h"
#include "worker/kernels/amx/ternary_gemm.h"
#include "worker/kernels/amx/tiles.h"
#include "worker/kernels/avx512/f32x16.h"
#include "worker/kernels/avx512bf16/bf16_dot.h"
#include "worker/kernels/avx512vnni/block_dot.h"
#include "worker/kernels/avx512vnni/ternary_dot.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::amx {
namespace {

constexpr KernelTable make_table() {
    KernelTable table =
        lanes::make_table<avx512::F32x16, avx512vnni::TernaryDot, avx512vnni::BlockDot>("amx");
    table.ternary_gemm = ternary_gemm<Tiles, avx512vnni::TernaryDot>;
    table.ternary_ways[1] = {"tiles", ternary_tiles<Tiles, avx512vnni::TernaryDot>, kFewRows + 1};
    table.matmul_bf16_dot = avx512bf16::matmul_bf16_dot;
    return table;
}

}  // namespace

constinit const KernelTable kTable = make_table();

}  // namespace bitnetd::kernels::amx
