#include "worker/prepare/ternary_values.h"

#include <cmath>
#include <sstream>
#include <utility>
#include <vector>

namespace bitnetd::worker {
namespace {

std::string exact(float value) {
    std::ostringstream out;
    out.precision(9);
    out << value;
    return out.str();
}

class TernaryValues final : public quant::TernaryMatrix {
  public:
    TernaryValues(ModelInput& input, const ModelTensor& tensor)
        : TernaryMatrix(tensor.shape, {}, 1, quant::ScalesPer::kMatrix),
          input_(input),
          tensor_(tensor) {}

  private:
    Result<void> decode(uint64_t first, uint64_t count, std::span<int8_t> digits,
                        std::span<float> scales) override {
        values_.resize(digits.size());
        BITNETD_TRY(input_.read_floats(tensor_, first, count, values_));
        for (size_t i = 0; i < values_.size(); ++i) {
            const float value = values_[i];
            digits[i] = static_cast<int8_t>((value > 0) - (value < 0));
            if (value == 0) continue;
            if (magnitude_ == 0) magnitude_ = std::fabs(value);
            if (std::fabs(value) == magnitude_) continue;
            return unsupported("row " + std::to_string(first + i / shape().columns) + ": weight " +
                               std::to_string(i % shape().columns) + " is " + exact(value) +
                               ", but others are " + exact(magnitude_) +
                               ": not a ternary matrix, which holds -s, 0 and s only");
        }
        scales[0] = magnitude_;
        return {};
    }

    ModelInput& input_;
    const ModelTensor& tensor_;
    std::vector<float> values_;
    float magnitude_ = 0;  // of the first weight that is not zero
};

}  // namespace

std::unique_ptr<quant::TernaryMatrix> read_as_ternary(ModelInput& input,
                                                      const ModelTensor& tensor) {
    return std::make_unique<TernaryValues>(input, tensor);
}

}  // namespace bitnetd::worker
