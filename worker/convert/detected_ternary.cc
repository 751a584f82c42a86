#include "worker/convert/detected_ternary.h"

#include <algorithm>
#include <cmath>

#include "worker/inspect/tensor_statistics.h"
#include "worker/prepare/ternary_values.h"

namespace bitnetd::worker {
namespace {

// The one magnitude in `values`, beside zero; 0 so far when there is none yet. False: others too.
bool one_magnitude(std::span<const float> values, float& magnitude) {
    for (const float value : values) {
        if (value == 0) continue;
        if (magnitude == 0) magnitude = std::fabs(value);
        if (std::fabs(value) != magnitude) return false;
    }
    return true;
}

}  // namespace

Result<std::unique_ptr<quant::TernaryMatrix>> detect_ternary(ModelInput& input,
                                                             const ModelTensor& tensor) {
    const quant::Shape shape = tensor.shape;
    const uint64_t step = rows_per_part(shape, 1);
    std::vector<float> values(std::min(step, shape.rows) * shape.columns);
    float magnitude = 0;
    for (uint64_t row = 0; row < shape.rows; row += step) {
        const uint64_t count = std::min(step, shape.rows - row);
        const auto part = std::span(values).first(count * shape.columns);
        BITNETD_TRY(input.read_floats(tensor, row, count, part));
        if (!one_magnitude(part, magnitude)) return std::unique_ptr<quant::TernaryMatrix>();
    }
    if (magnitude == 0) return std::unique_ptr<quant::TernaryMatrix>();
    return read_as_ternary(input, tensor);
}

}  // namespace bitnetd::worker
