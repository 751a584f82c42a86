// Rows of ternary matrices, whatever their type in the file, as digits -1, 0 and 1 with one scale
// for the matrix: w = scale * digit, exactly. A matrix that is not of that form is refused with the
// values that show it. Layouts: I2_S (blocks of 128, scale behind the matrix), TQ1_0 and TQ2_0
// (blocks of 256 with a scale each), F32, F16 and BF16 (the values themselves). Loader process; the
// bytes are untrusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/quant/quant_types.h"

namespace bitnetd::worker {

class TernaryDecoder {
  public:
    // `tail`: the bytes behind the last row, as many as the type has.
    static Result<TernaryDecoder> create(quant::Type type, std::span<const std::byte> tail);

    // `row` holds digits.size() weights.
    Result<void> decode(std::span<const std::byte> row, std::span<int8_t> digits);

    // After the last row. 0 for a matrix without any non-zero weight.
    float scale() const { return scale_.value_or(0); }

  private:
    explicit TernaryDecoder(quant::Type type) : type_(type) {}

    Result<void> decode_blocks(std::span<const std::byte> row, std::span<int8_t> digits);
    Result<void> decode_values(std::span<const std::byte> row, std::span<int8_t> digits);
    // The first scale seen is the matrix's; another one is an error.
    Result<void> take_scale(float scale);

    quant::Type type_;
    std::optional<float> scale_;
    std::vector<float> values_;  // one row, for the float types
};

}  // namespace bitnetd::worker
