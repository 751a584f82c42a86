// The AVX2 kernels. This object may hold code that other CPUs cannot run, so it exports its table
// and nothing else (tests/lint/check_kernel_symbols).
#include "worker/kernels/lanes/table.h"
#include "worker/kernels/avx2/block_dot.h"
#include "worker/kernels/avx2/f32x16.h"
#include "worker/kernels/avx2/ternary_dot.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::avx2 {

constinit const KernelTable kTable = lanes::make_table<F32x16, TernaryDot, BlockDot>("avx2");

}  // namespace bitnetd::kernels::avx2
