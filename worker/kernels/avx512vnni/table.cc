// The AVX-512 VNNI kernels. This object may hold code that other CPUs cannot run, so it exports its
// table and nothing else (tests/lint/check_kernel_symbols).
#include "worker/kernels/lanes/table.h"
#include "worker/kernels/avx512/f32x16.h"
#include "worker/kernels/avx512vnni/block_dot.h"
#include "worker/kernels/avx512vnni/ternary_dot.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::avx512vnni {

constinit const KernelTable kTable =
    lanes::make_table<avx512::F32x16, TernaryDot, BlockDot>("avx512vnni");

}  // namespace bitnetd::kernels::avx512vnni
