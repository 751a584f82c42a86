// The output matrix in eight bits beside itself, with how far off each row is: what
// worker/model/output_screen.h rules logits out by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/result.h"
#include "worker/kernels/block_format.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

inline constexpr kernels::BlockFormat kScreenFormat = kernels::BlockFormat::kQ8_0;
// Columns of a matrix that can have a screen are a multiple of this.
inline constexpr uint64_t kScreenUnit = 32;

// matrix: an F32, F16 or BF16 tensor. codes: the packed matrix in kScreenFormat, zero before.
// errors [rows][2]: |w - v| and |v| of each row w and its eight-bit form v, rounded up; a row that
// eight bits cannot hold gets infinities, which rule nothing out.
Result<void> pack_screen(ModelInput& input, const ModelTensor& matrix, std::byte* codes,
                         std::span<float> errors);

}  // namespace bitnetd::worker
