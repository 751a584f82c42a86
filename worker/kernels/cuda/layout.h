// How matrices lie in device memory. Host code: the upload of weights calls it.
//
// Floats and blocks stay as the sealed segment has them: rows without gaps, or the stripes of
// block_format.h, whose parts all begin at multiples of 16 bytes.
//
// Ternary matrices become tiles of 16 rows by 128 columns, 512 bytes each, [rows / 16][k / 128],
// rows rounded up to 16 and columns to ternary_padded(k) with weight 0. A tile is what a warp loads
// at once: 16 bytes a lane, four words of 16 codes (w + 1, two bits each), which shifted right by
// 0, 2, 4 and 6 bits and masked with 0x03030303 are operand a of four multiply_16x8x32
// (device_ops.cuh). Lane 4g + t, word i, field s, byte b holds
//   row    g + 8 * (i % 2)
//   column 32t + 4 * (2s + i / 2) + b
// so that operand b of the four products is bytes 32t .. 32t + 31 of a row of activations, in
// order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/kernels/cuda/cuda_kernels.h"

namespace bitnetd::kernels::cuda {

inline constexpr int32_t kTileRows = 16;
inline constexpr int32_t kTernaryTileColumns = 128;
inline constexpr int32_t kTernaryTileBytes = kTileRows * kTernaryTileColumns / 4;

// Tiles along the columns of a ternary matrix of k columns: whole blocks of kTernaryBlock.
constexpr int32_t ternary_tiles(int32_t k) {
    return (k + 255) / 256 * 2;
}

// A matrix as the sealed weights hold it (shm/abi/weights_abi.h, kernel_api.h, block_format.h).
struct HostMatrix {
    const std::byte* data;
    MatrixKind kind;
    BlockFormat block_format;  // of kBlocks
    int32_t rows;
    int32_t columns;
};

// Bytes of rows 0 .. count-1 on the device; the part that begins at row `count`, a multiple of
// kTileRows, begins there. All rows: what the matrix needs.
int64_t device_bytes(const HostMatrix& matrix, int64_t count);

// Writes rows first .. first+count-1 as the device wants them, to go to device_bytes(first). first
// is a multiple of kTileRows, and count too unless it ends the matrix. `out` gets
// device_bytes(first + count) - device_bytes(first) bytes. Different threads may take different
// parts.
void lay_out(const HostMatrix& matrix, int64_t first, int64_t count, std::byte* out);

// The inverse, for tests: all rows of `shape` (its data is not read) as the segment holds them.
// `out` gets the segment's bytes.
void take_back(const HostMatrix& shape, const std::byte* device, std::byte* out);

}  // namespace bitnetd::kernels::cuda
