#include "worker/inspect/tensor_statistics.h"

#include <algorithm>
#include <cmath>

#include "worker/prepare/ternary_values.h"

namespace bitnetd::worker {
namespace {

// Sums in double: the largest matrices have 2^30 elements, so mean and deviation keep six digits
// and more.
class FloatMeter {
  public:
    void add(std::span<const float> values) {
        double sum = 0;
        double squares = 0;
        for (const float value : values) {
            min_ = std::min(min_, value);
            max_ = std::max(max_, value);
            sum += value;
            squares += static_cast<double>(value) * value;
        }
        sum_ += sum;
        squares_ += squares;
        count_ += values.size();
    }

    FloatStatistics result() const {
        const auto count = static_cast<double>(count_);
        const double mean = sum_ / count;
        return {min_, max_, mean, std::sqrt(std::max(0.0, squares_ / count - mean * mean))};
    }

  private:
    float min_ = INFINITY;
    float max_ = -INFINITY;
    double sum_ = 0;
    double squares_ = 0;
    uint64_t count_ = 0;
};

void add_digits(TernaryStatistics& out, std::span<const int8_t> digits) {
    uint64_t plus = 0;
    uint64_t minus = 0;
    for (const int8_t digit : digits) {
        plus += digit > 0 ? 1 : 0;
        minus += digit < 0 ? 1 : 0;
    }
    out.digits[0] += minus;
    out.digits[1] += digits.size() - plus - minus;
    out.digits[2] += plus;
}

// A scale of 0 stands with weights that are all zero, and says nothing.
void add_scales(TernaryStatistics& out, std::span<const float> scales) {
    out.scales += scales.size();
    for (const float scale : scales) {
        if (scale == 0) continue;
        const bool first = out.scale_max == 0;
        out.scale_min = first ? scale : std::min(out.scale_min, scale);
        out.scale_max = first ? scale : std::max(out.scale_max, scale);
    }
}

Result<TensorStatistics> measure_floats(ModelInput& input, const ModelTensor& tensor,
                                        const ByteCount& progress) {
    const uint64_t step = rows_per_part(tensor.shape, 1);
    std::vector<float> values(std::min(step, tensor.shape.rows) * tensor.shape.columns);
    RowBytes told(tensor, progress);
    FloatMeter meter;
    for (uint64_t row = 0; row < tensor.shape.rows; row += step) {
        const uint64_t count = std::min(step, tensor.shape.rows - row);
        const auto part = std::span(values).first(count * tensor.shape.columns);
        BITNETD_TRY(input.read_floats(tensor, row, count, part));
        meter.add(part);
        told.done_until(row + count);
    }
    return TensorStatistics(meter.result());
}

Result<TensorStatistics> measure_ternary(ModelInput& input, const ModelTensor& tensor,
                                         const ByteCount& progress) {
    std::unique_ptr<quant::TernaryMatrix> matrix;
    if (tensor.ternary) {
        BITNETD_ASSIGN(matrix, input.open_ternary(tensor));
    } else {
        matrix = read_as_ternary(input, tensor);
    }
    const quant::Shape shape = matrix->shape();
    const uint64_t step = rows_per_part(shape, matrix->row_step());
    std::vector<int8_t> digits(std::min(step, shape.rows) * shape.columns);
    std::vector<float> scales(matrix->scale_count(std::min(step, shape.rows)));
    RowBytes told(tensor, progress);
    TernaryStatistics out;
    for (uint64_t row = 0; row < shape.rows; row += step) {
        const uint64_t count = std::min(step, shape.rows - row);
        const auto part = std::span(digits).first(count * shape.columns);
        const auto part_scales = std::span(scales).first(matrix->scale_count(count));
        BITNETD_TRY(matrix->read_rows(row, count, part, part_scales));
        add_digits(out, part);
        // One scale of the whole matrix comes with every part; detected ones are known at the end.
        if (matrix->scales_per() == quant::ScalesPer::kMatrix) out.scales = 0;
        add_scales(out, part_scales);
        told.done_until(row + count);
    }
    return TensorStatistics(out);
}

}  // namespace

uint64_t rows_per_part(quant::Shape shape, uint64_t row_step) {
    const uint64_t steps = kPartElements / (shape.columns * row_step);
    return std::max<uint64_t>(1, steps) * row_step;
}

void RowBytes::done_until(uint64_t row) {
    const uint64_t rows = tensor_.shape.rows;
    const uint64_t bytes = row == rows ? tensor_.bytes : tensor_.bytes / rows * row;
    progress_(bytes - told_);
    told_ = bytes;
}

Result<TensorStatistics> measure(ModelInput& input, const ModelTensor& tensor, bool as_ternary,
                                 const ByteCount& progress) {
    return tensor.ternary || as_ternary ? measure_ternary(input, tensor, progress)
                                        : measure_floats(input, tensor, progress);
}

}  // namespace bitnetd::worker
