// The output matrix in eight bits beside itself, with how far off each row is: what
// worker/model/output_screen.h rules logits out by. Loader process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/quant/block_codes.h"
#include "worker/kernels/block_format.h"

namespace bitnetd::worker {

inline constexpr kernels::BlockFormat kScreenFormat = kernels::BlockFormat::kQ8_0;
// Columns of a matrix that can have a screen are a multiple of this.
inline constexpr uint64_t kScreenUnit = 32;

// Packs rows one by one; a thread has its own. Rows of one stripe are packed by one thread.
class ScreenPacker {
  public:
    explicit ScreenPacker(uint64_t columns);

    // values: row `row` of the matrix, finite. codes: the whole packed matrix in kScreenFormat,
    // zero before. errors: |w - v| and |v| of the row w and its eight-bit form v, rounded up; a row
    // that eight bits cannot hold gets infinities, which rule nothing out.
    void pack(std::span<const float> values, uint64_t row, std::byte* codes,
              std::span<float, 2> errors);

  private:
    quant::BlockCodes numbers_;  // of one row
};

}  // namespace bitnetd::worker
