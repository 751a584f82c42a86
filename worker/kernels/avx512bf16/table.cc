// The AVX-512 BF16 kernels: those of VNNI, and the product that only this set computes. This object
// may hold code that other CPUs cannot run, so it exports its table and nothing else
// (tests/lint/check_kernel_symbols).
#include "worker/kernels/lanes/table.h"
#include "worker/kernels/avx512/f32x16.h"
#include "worker/kernels/avx512bf16/bf16_dot.h"
#include "worker/kernels/avx512vnni/block_dot.h"
#include "worker/kernels/avx512vnni/ternary_dot.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::avx512bf16 {
namespace {

constexpr KernelTable make_table() {
    KernelTable table =
        lanes::make_table<avx512::F32x16, avx512vnni::TernaryDot, avx512vnni::BlockDot>(
            "avx512bf16");
    table.matmul_bf16_dot = matmul_bf16_dot;
    return table;
}

}  // namespace

constinit const KernelTable kTable = make_table();

}  // namespace bitnetd::kernels::avx512bf16
