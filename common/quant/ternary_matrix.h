// TernaryMatrix: the rows of one ternary matrix, whatever its type, as digits -1, 0, +1 and their
// scales: weight = scale * digit, exactly. Bytes that stand for no ternary weight (code 3, indices
// out of range, scales that are not finite, padding that is not zero) are errors that name row and
// column. Memory is bounded by the rows asked for, TL1 and TL2 by one band of their tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/quant/quant_types.h"
#include "common/quant/tiles.h"

namespace bitnetd::quant {

// Fills `out` with the bytes at `offset` from the first byte of the matrix. The range lies within
// matrix_bytes(); an error (the file ended) is passed on.
using ReadAt = std::function<Result<void>(uint64_t offset, std::span<std::byte> out)>;

// Memory that stays valid as long as the matrix.
ReadAt read_from(std::span<const std::byte> memory);

// Nothing in a file tells how its I2_S codes are arranged; all but the first are given by the
// operator.
enum class I2sLayout : uint8_t {
    kBlocks128,   // 128 elements in 32 bytes, first element in the top bits: the published files
    kBlocks64,    // 64 in 16: bitnet.cpp on ARM since late 2025
    kSequential,  // four neighbours to a byte, the first in the top bits
};
// "128/32", "64/16" or "sequential".
Result<I2sLayout> parse_i2s_layout(std::string_view text);
// The rows of an I2_S matrix are a multiple of this long, so that each begins with a block.
uint64_t block_elements(I2sLayout layout);

struct TernaryOptions {
    I2sLayout i2s_layout = I2sLayout::kBlocks128;
    RowScales row_scales = RowScales::kCurrent;
    std::vector<TileOfShape> tiles;  // TL1, TL2: beside the published ones
    // The scale of a matrix that carries none: PackedU8, and IQ*_BN without row scales.
    float outer_scale = 1;
};

enum class ScalesPer : uint8_t { kMatrix, kRow, kBlockOf256 };

class TernaryMatrix {
  public:
    virtual ~TernaryMatrix() = default;
    TernaryMatrix(const TernaryMatrix&) = delete;
    TernaryMatrix& operator=(const TernaryMatrix&) = delete;

    Shape shape() const { return shape_; }
    // Rows are read in multiples of this many (1, 4, or a tile's rows); it divides shape().rows.
    uint64_t row_step() const { return row_step_; }
    ScalesPer scales_per() const { return scales_per_; }
    // Scales that `rows` rows have: 1, rows, or rows * columns / 256.
    size_t scale_count(uint64_t rows) const;

    // Rows `first` .. `first` + `count`, both multiples of row_step() and within shape().
    // digits [count][columns]; scales [scale_count(count)]. On error both are unspecified.
    Result<void> read_rows(uint64_t first, uint64_t count, std::span<int8_t> digits,
                           std::span<float> scales);

  protected:
    TernaryMatrix(Shape shape, ReadAt read, uint64_t row_step, ScalesPer scales_per)
        : shape_(shape), read_(std::move(read)), row_step_(row_step), scales_per_(scales_per) {}

    // As read_rows, its arguments checked.
    virtual Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                                std::span<float> scales) = 0;

    // `bytes` bytes at `offset`; valid until the next call with the same buffer.
    Result<const std::byte*> fetch(uint64_t offset, uint64_t bytes, std::vector<std::byte>& buffer);
    // The f32 at `offset`; an error when it is not finite.
    Result<float> fetch_scale(uint64_t offset);

  private:
    Shape shape_;
    ReadAt read_;
    uint64_t row_step_;
    ScalesPer scales_per_;
};

// A matrix of a ternary type (info_of(type).ternary), read through `read`. The error says why the
// shape or the scale cannot be.
Result<std::unique_ptr<TernaryMatrix>> open_ternary(Type type, Shape shape, ReadAt read,
                                                    const TernaryOptions& options);

}  // namespace bitnetd::quant
