// Types whose blocks are small whole numbers times factors, taken apart without rounding. For
// element i of a row, as floats:
//   factor = d[i / unit] * scales[i / group]      exact
//   offset = m[i / unit] * minima[i / group]      exact; only in a form with offsets
//   value  = factor * codes[i] + offset           the product exact, the sum rounded once
// which are the very floats that float_rows.h gives. Where a type subtracts a minimum, m is the
// negated dmin. Pure functions of untrusted bytes; used by the loader to repack matrices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/quant/quant_types.h"

namespace bitnetd::quant {

struct BlockForm {
    uint16_t unit;     // elements with one d (and m): 32 or 256
    uint16_t group;    // elements with one scale (and minimum): 16 or 32
    bool has_scales;   // else every scale and minimum is 1
    bool has_offsets;  // else there is no m, and no minima
    int16_t code_min;
    int16_t code_max;
};

// Null for a type that is not such: plain floats, and the ternary types of ternary_matrix.h.
// All of Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K Q1_0 Q2_0 are.
const BlockForm* block_form(Type type) noexcept;

// The numbers of one row.
struct BlockCodes {
    std::vector<int8_t> codes;   // [columns]
    std::vector<uint16_t> d;     // [columns / unit], half precision
    std::vector<uint16_t> m;     // the same; zero without offsets
    std::vector<int8_t> scales;  // [columns / group]
    std::vector<int8_t> minima;  // the same; zero without offsets
};

// `row` holds exactly `columns` elements of `type`, which has a form. `out` is resized to fit, so
// that one object serves row after row.
void split_row(Type type, std::span<const std::byte> row, size_t columns, BlockCodes& out);

}  // namespace bitnetd::quant
