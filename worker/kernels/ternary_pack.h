// The packed form of ternary rows that ternary_gemm reads, written and read back plainly: the
// loader packs with it, tests unpack with it.
//
// A row of k weights is ternary_row_bytes(k) bytes: blocks of 256 weights in 64 bytes, byte p of a
// block holding weights p, p+64, p+128 and p+192, the first in the low two bits, each as w + 1.
// Beyond k the weights are 0 (code 1).
#pragma once

#include <cstdint>

namespace bitnetd::kernels {

// digits int8 [k], each -1, 0 or 1 (the caller has checked); out gets ternary_row_bytes(k) bytes.
void pack_ternary_row(const int8_t* digits, int64_t k, uint8_t* out) noexcept;

// digits int8 [k] = the weights of a packed row. A code 3, which packing never makes, gives 2.
void unpack_ternary_row(const uint8_t* packed, int64_t k, int8_t* digits) noexcept;

}  // namespace bitnetd::kernels
