// Accuracy of packed weights as a measured figure. A matrix is multiplied with rows of activations
// (probe_rows.h) as workers multiply it, rounding to int8 included: y. The same product in double,
// from the weights as the model's files store them and the activations as they are: y_ref. The
// ratio is the cosine of y and y_ref over sixteen outputs and all probe rows; of a matrix, and of a
// type, it is that of the worst sixteen outputs, so that one wrong row is not lost among thousands.
// Where y_ref is zero the ratio is 1 if y is zero too, else 0; it is 0 where y is not finite, and
// where y points away from y_ref. Biases are left out on both sides.
// A cosine does not see a wrong factor, so the lengths of y and y_ref are compared as well.
// Loader process and tests. The figures are the same for any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/quant/accuracy_minima.h"
#include "common/quant/quant_types.h"
#include "worker/kernels/kernel_api.h"
#include "worker/model/weights_view.h"
#include "worker/prepare/model_input.h"
#include "worker/prepare/weights_plan.h"
#include "worker/topology/thread_pool.h"

namespace bitnetd::worker {

struct MatrixAccuracy {
    std::string tensor;   // "blk.3.attn_q.weight"
    quant::Type type{};   // as stored
    double ratio = 1;     // 0 .. 1
    double length = 1;    // |y| / |y_ref| over all that was measured; 1 where both are zero
    uint64_t row = 0;     // the first of the worst sixteen outputs, as the tensor counts rows
    uint64_t values = 0;  // weights measured
};

enum class Coverage : uint8_t {
    kSampled,  // four times sixteen rows of a matrix, or all of a small one
    kAll,
};

struct AccuracyRun {
    const kernels::KernelTable& kernels;
    Coverage coverage = Coverage::kSampled;
    // Called with the packed bytes of the matrices done so far; may be empty.
    // By the calling thread.
    std::function<void(uint64_t done_bytes, uint64_t total_bytes)> progress;
    ThreadPool* pool = nullptr;  // its threads share the matrices; null: the calling thread
    uint32_t draw = 0;           // which sample of rows and activations: each has others
};

// Every linear layer, the embedding and the output matrix, in the order of the plan. `weights` is
// the view of what was packed by `plan` from `input`; all outlive the call. Errors are those of
// reading the model.
Result<std::vector<MatrixAccuracy>> measure_accuracy(ModelInput& input, const WeightsPlan& plan,
                                                     const WeightsView& weights,
                                                     const AccuracyRun& run);

// The worst matrix of each type, in the order of quant::Type.
std::vector<MatrixAccuracy> worst_by_type(std::span<const MatrixAccuracy> matrices);

// Whether the matrix is good enough to be served. The error says what was measured and what was
// expected.
Result<void> judge_accuracy(const MatrixAccuracy& matrix, const quant::AccuracyMinima& minima);
// Whether all are. The error is that of the one with the lowest ratio, with its name and what to
// do.
Result<void> judge_accuracy(std::span<const MatrixAccuracy> matrices,
                            const quant::AccuracyMinima& minima);

}  // namespace bitnetd::worker
