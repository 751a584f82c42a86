// What becomes of each tensor, decided before the first byte is written: the head of a GGUF file
// has all types and sizes.
#pragma once

#include <memory>
#include <vector>

#include "worker/convert/convert.h"

namespace bitnetd::worker {

struct PlannedConversion {
    enum class Way : uint8_t {
        kTernary,  // digits and scales, encoded
        kFloats,   // values, encoded
        kBytes,    // as stored
    };
    const ModelTensor* tensor = nullptr;
    Way way = Way::kBytes;
    quant::Type type{};                                // in the new file
    uint64_t bytes = 0;                                // there
    std::unique_ptr<quant::TernaryMatrix> detected{};  // of a float matrix that is ternary
};

// Points into `input`. The error names the tensor that cannot be stored and says why.
Result<std::vector<PlannedConversion>> plan_conversion(ModelInput& input,
                                                       const ConvertOptions& options,
                                                       const TaskProgress& progress);

}  // namespace bitnetd::worker
