// Every value of one tensor, decoded once: that it can be decoded at all, and what it looks like.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <variant>

#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

struct FloatStatistics {
    float min = 0;
    float max = 0;
    double mean = 0;
    double deviation = 0;  // standard, of the population
};

struct TernaryStatistics {
    std::array<uint64_t, 3> digits{};  // how many -1, 0 and +1
    uint64_t scales = 0;
    float scale_min = 0;  // of those that are not 0; both 0 when all are
    float scale_max = 0;

    uint64_t count() const { return digits[0] + digits[1] + digits[2]; }
};

using TensorStatistics = std::variant<FloatStatistics, TernaryStatistics>;

// Told the bytes of each part as it is done; together ModelTensor::bytes.
using ByteCount = std::function<void(uint64_t bytes)>;

// `as_ternary`: a float tensor that must hold -s, 0 and s only; one that is ternary by its type is
// read so anyway. The error names row and column. Holds some megabytes at a time, or one step of
// rows of a ternary matrix (TernaryMatrix::row_step()).
Result<TensorStatistics> measure(ModelInput& input, const ModelTensor& tensor, bool as_ternary,
                                 const ByteCount& progress);

// Rows to read at once: whole steps, together about kPartElements.
inline constexpr uint64_t kPartElements = 1u << 20;
uint64_t rows_per_part(quant::Shape shape, uint64_t row_step);

// Tells `progress` a tensor's bytes row by row, without losing any to rounding.
class RowBytes {
  public:
    RowBytes(const ModelTensor& tensor, const ByteCount& progress)
        : tensor_(tensor), progress_(progress) {}

    void done_until(uint64_t row);

  private:
    const ModelTensor& tensor_;
    const ByteCount& progress_;
    uint64_t told_ = 0;
};

}  // namespace bitnetd::worker
