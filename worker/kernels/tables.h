// The table of each instruction set; a build has those of its own processor family. Only
// dispatch.cc and the tests name them; everyone else asks dispatch.h, because a table may be called
// only on a CPU that has its instructions.
#pragma once

#include "worker/kernels/kernel_api.h"

namespace bitnetd::kernels {

namespace reference {
extern const KernelTable kTable;  // "scalar": any CPU
}
namespace avx2 {
extern const KernelTable kTable;  // AVX2, FMA, F16C
}
namespace avx512 {
extern const KernelTable kTable;  // AVX-512 F, BW, VL, DQ
}
namespace avx512vnni {
extern const KernelTable kTable;  // AVX-512 as above and VNNI
}
namespace avx512bf16 {
extern const KernelTable kTable;  // AVX-512 as above, VNNI and BF16
}
namespace amx {
extern const KernelTable kTable;  // AVX-512 as above, VNNI, BF16, and AMX-INT8 (amx_permission.h)
}
namespace neon {
extern const KernelTable kTable;  // any CPU of aarch64
}
namespace neondotprod {
extern const KernelTable kTable;  // NEON and the dot product instructions of ARMv8.2
}

}  // namespace bitnetd::kernels
