// Float matrices that are ternary in truth: every value is -s, 0 or +s for one s. Converters of
// BitNet models write such F32, F16 and BF16 files.
#pragma once

#include <memory>

#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

// Null when the values are something else, or all zero. Reads the matrix up to the first value that
// shows it. The input outlives the result.
Result<std::unique_ptr<quant::TernaryMatrix>> detect_ternary(ModelInput& input,
                                                             const ModelTensor& tensor);

}  // namespace bitnetd::worker
