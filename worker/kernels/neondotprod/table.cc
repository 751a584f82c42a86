// The NEON kernels with dot product instructions. This object may hold code that other CPUs cannot
// run, so it exports its table and nothing else (tests/lint/check_kernel_symbols).
#include "worker/kernels/lanes/table.h"
#include "worker/kernels/neon/f32x16.h"
#include "worker/kernels/neondotprod/block_dot.h"
#include "worker/kernels/neondotprod/ternary_dot.h"
#include "worker/kernels/tables.h"

namespace bitnetd::kernels::neondotprod {

constinit const KernelTable kTable =
    lanes::make_table<neon::F32x16, TernaryDot, BlockDot>("neondotprod");

}  // namespace bitnetd::kernels::neondotprod
