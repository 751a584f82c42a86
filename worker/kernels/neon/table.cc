// The NEON kernels: any CPU of aarch64. This object exports its table and nothing else
// (tests/lint/check_kernel_symbols).
#include "worker/kernels/lanes/table.h"
#include "worker/kernels/neon/block_dot.h"
#include "worker/kernels/neon/f32x16.h"
#include "worker/kernels/neon/ternary_dot.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::neon {

constinit const KernelTable kTable = lanes::make_table<F32x16, TernaryDot, BlockDot>("neon");

}  // namespace bitnetd::kernels::neon
