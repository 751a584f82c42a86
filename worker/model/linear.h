// Linear layers: y = w x + bias for the rows of a step, in the arithmetic that the weights' packing
// asks for. Ternary weights take rows rounded to int8 per token (W1.58A8), block-quantised weights
// rows rounded to int8 per 32 values or the rows themselves, bfloat16 weights rows rounded to
// bfloat16 or the rows themselves, other float weights the rows themselves.
// Any thread; different threads take different rows (prepare) or different outputs (multiply).
#pragma once

#include <cstdint>

#include "shm/abi/weights_abi.h"
#include "worker/kernels/block_format.h"
#include "worker/kernels/kernel_api.h"
#include "worker/model/aligned_array.h"
#include "worker/model/ternary_choice.h"
#include "worker/topology/slice.h"

namespace bitnetd::worker {

struct Linear {
    const std::byte* weights = nullptr;  // [outputs] rows in `packing`; of kBlocks tiles of 16 rows
    shm::Packing packing = shm::Packing::kF32;
    kernels::BlockFormat block_format{};  // of kBlocks
    int32_t outputs = 0;
    int32_t inputs = 0;
    // Rows are rounded before they are multiplied: always with ternary weights, never with F16 and
    // F32 weights.
    bool rounds_input = false;
    float scale = 1;                    // of ternary weights
    const float* bias = nullptr;        // [outputs], or null
    const float* input_norm = nullptr;  // [inputs]: the input is normed with it first; or null
};

// The rows of a step as one kind of weights wants them.
class LinearInput {
  public:
    // No row has more than `inputs_max` values.
    LinearInput(uint32_t rows_max, int32_t inputs_max, const TernaryChoice& ternary);

    // Of w's kind: rows `rows` of x, [rows][w.inputs] without gaps.
    void prepare(const kernels::KernelTable& kernels, const Linear& w, Range rows, const float* x);

    // Whether what prepare() made for `a` serves `b` too.
    static bool share_input(const Linear& a, const Linear& b);

    // y[i][j] = x[i] . w[j] + bias[j] for rows 0 .. count-1 and outputs j in `outputs`, which
    // begins at a multiple of 16; y is [count][w.outputs]. x: the rows that were prepared.
    void multiply(const kernels::KernelTable& kernels, int32_t count, const Linear& w,
                  Range outputs, const float* x, float* y) const;

  private:
    kernels::Bf16* halves() const { return reinterpret_cast<kernels::Bf16*>(values_.data()); }

    // For a ternary layer rows of ternary_padded(inputs) values and one scale and sum each; for
    // blocks rows of `inputs` values, a scale for 32 of them and a sum for 16; for bfloat16 rows of
    // `inputs` values of two bytes.
    AlignedArray<int8_t> values_;
    AlignedArray<float> scales_;
    AlignedArray<int32_t> sums_;
    const TernaryChoice ternary_;
};

// Row `row` of a table, as floats: an embedding. out [w.inputs].
void table_row(const kernels::KernelTable& kernels, const Linear& table, int64_t row, float* out);

// y[i][j] = x[i] . w[j] in float, for the output matrix: logits are not rounded to int8 whatever
// the packing. As LinearInput::multiply otherwise, with y rows of stride y_stride.
void multiply_floats(const kernels::KernelTable& kernels, int32_t count, const Linear& w,
                     Range outputs, const float* x, float* y, int64_t y_stride);

}  // namespace bitnetd::worker
