// Writes matrices in the form of block_format.h, row by row: the loader's side. Pure functions over
// memory that the caller owns and has sized with block_matrix_bytes().
#pragma once

#include <cstdint>
#include <optional>

#include "common/quant/block_codes.h"
#include "worker/kernels/block_format.h"

namespace bitnetd::kernels {

// The format that holds a file's type exactly; none for a type that quant::block_form() has not.
std::optional<BlockFormat> block_format_of(quant::Type type) noexcept;

// Writes row `row` of a matrix. `numbers` come from quant::split_row() for the type of this format
// and tell k, a multiple of the format's unit. `matrix` is the whole matrix's memory, zero before
// the first row is packed. Different stripes may be packed by different threads.
void pack_block_row(BlockFormat format, const quant::BlockCodes& numbers, int64_t row,
                    uint8_t* matrix);

}  // namespace bitnetd::kernels
