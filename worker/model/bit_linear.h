// The W1.58A8 linear layer: rows are quantised to int8 once, then multiplied by as many ternary
// matrices as read them. Any thread; different threads take different rows (quantise) or different
// outputs (multiply).
#pragma once

#include <cstdint>

#include "worker/kernels/kernel_api.h"
#include "worker/model/aligned_array.h"
#include "worker/model/weights_view.h"
#include "worker/topology/slice.h"

namespace bitnetd::worker {

class QuantisedRows {
  public:
    QuantisedRows(uint32_t rows_max, int32_t inputs_max);

    // Quantises rows `rows` of x, [rows][inputs] without gaps.
    void quantise(const kernels::KernelTable& kernels, Range rows, int32_t inputs, const float* x);

    // y[i][j] = x[i] . w[j] + bias[j] for rows 0 .. count-1 and outputs j in `outputs`; y is
    // [count][w.outputs]. w.inputs is what the rows were quantised with.
    void multiply(const kernels::KernelTable& kernels, int32_t count, const TernaryMatrix& w,
                  Range outputs, float* y) const;

  private:
    AlignedArray<int8_t>
        values_;                  // [rows_max][ternary_padded(inputs_max)]; denser for fewer inputs
    AlignedArray<float> scales_;  // [rows_max]
    AlignedArray<int32_t> sums_;  // [rows_max]
};

}  // namespace bitnetd::worker
