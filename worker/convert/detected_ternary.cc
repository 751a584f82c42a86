#include "worker/convert/detected_ternary.h"

#include <algorithm>
#include <cmath>

namespace bitnetd::worker {
namespace {

class DetectedTernary final : public quant::TernaryMatrix {
  public:
    DetectedTernary(ModelInput& input, const ModelTensor& tensor, float scale)
        : TernaryMatrix(tensor.shape, nullptr, 1, quant::ScalesPer::kMatrix),
          input_(input),
          tensor_(tensor),
          scale_(scale) {}

  private:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        values_.resize(digits.size());
        BITNETD_TRY(input_.read_floats(tensor_, first, count, values_));
        for (size_t i = 0; i < values_.size(); ++i) {
            // The file may have changed since the values were looked at.
            if (values_[i] != 0 && std::fabs(values_[i]) != scale_) {
                return invalid("its values changed while it was read");
            }
            digits[i] = static_cast<int8_t>((values_[i] > 0 ? 1 : 0) - (values_[i] < 0 ? 1 : 0));
        }
        scales[0] = scale_;
        return {};
    }

    ModelInput& input_;
    const ModelTensor& tensor_;
    float scale_;
    std::vector<float> values_;
};

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
    return std::unique_ptr<quant::TernaryMatrix>(
        std::make_unique<DetectedTernary>(input, tensor, magnitude));
}

}  // namespace bitnetd::worker
