// The rows of a planned matrix as its model stores them, whatever the type: what packed weights are
// measured against. It shares the decoders with packing and nothing that comes after them.
// Loader process and tests; holds the rows asked for, or whole steps of rows where a type has such.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/weights_plan.h"

namespace bitnetd::worker {

class StoredRows {
  public:
    // Both outlive it. `tensor` has a source that is a matrix.
    static Result<StoredRows> open(ModelInput& input, const PlannedTensor& tensor);

    // Rows are stored, and so read, in groups of this many.
    uint64_t row_step() const { return matrix_ == nullptr ? 1 : matrix_->row_step(); }

    // Rows `first` .. `first` + `count` of the planned rows, [count][columns], with all their
    // scales: a ternary weight is digit * scale, and * the factor of its .scale tensor.
    Result<void> read(uint64_t first, uint64_t count, std::span<double> out);

  private:
    StoredRows(ModelInput& input, const PlannedTensor& tensor) : input_(&input), tensor_(&tensor) {}
    Result<void> read_floats(uint64_t first, uint64_t count, std::span<double> out);
    Result<void> decode(uint64_t first, uint64_t count);

    ModelInput* input_;
    const PlannedTensor* tensor_;
    std::unique_ptr<quant::TernaryMatrix> matrix_;  // null: read as floats
    double factor_ = 1;
    std::vector<float> values_;
    // Rows decoded_first_ .. + decoded_count_ of the source, kept while the next reads are in them.
    uint64_t decoded_first_ = 0;
    uint64_t decoded_count_ = 0;
    std::vector<int8_t> digits_;
    std::vector<float> scales_;
};

}  // namespace bitnetd::worker
