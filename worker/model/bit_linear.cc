#include "worker/model/bit_linear.h"

namespace bitnetd::worker {

QuantisedRows::QuantisedRows(uint32_t rows_max, int32_t inputs_max)
    : values_(rows_max * static_cast<size_t>(kernels::ternary_padded(inputs_max))),
      scales_(rows_max),
      sums_(rows_max) {}

void QuantisedRows::quantise(const kernels::KernelTable& kernels, Range rows, int32_t inputs,
                             const float* x) {
    if (rows.count() == 0) return;
    const int64_t padded = kernels::ternary_padded(inputs);
    kernels.quantise_rows(static_cast<int32_t>(rows.count()), inputs, x + rows.begin * inputs,
                          inputs, values_.data() + rows.begin * padded, scales_.data() + rows.begin,
                          sums_.data() + rows.begin);
}

void QuantisedRows::multiply(const kernels::KernelTable& kernels, int32_t count,
                             const TernaryMatrix& w, Range outputs, float* y) const {
    if (outputs.count() == 0) return;
    const auto n = static_cast<int32_t>(outputs.count());
    const auto padded = static_cast<int32_t>(kernels::ternary_padded(w.inputs));
    kernels.ternary_gemm(count, n, padded, values_.data(), sums_.data(), scales_.data(),
                         w.rows + outputs.begin * w.row_bytes, w.scale, y + outputs.begin,
                         w.outputs);
    if (w.bias == nullptr) return;
    for (int64_t i = 0; i < count; ++i) {
        kernels.add_in_place(n, w.bias + outputs.begin, y + i * w.outputs + outputs.begin);
    }
}

}  // namespace bitnetd::worker
