// What a packed model must show before others get it: the accuracy of its matrices (accuracy.h) and
// the self-test (self_test.h). A load looks at samples; `bitnetctl model verify` at everything,
// with the scalar reference. Loader process and tests.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/control_abi.h"
#include "worker/prepare/accuracy.h"
#include "worker/prepare/prepare.h"

namespace bitnetd::worker {

// Of a segment that `preparation` packed, on the kernel table that workers will choose and one
// other. Logs the figures; the error says which matrix is below its minimum, or where the tables
// differ. percent: by the calling thread, may be empty.
struct CheckedAccuracy {
    std::vector<MatrixAccuracy> matrices;
    // The lowest ratio of a second measurement: other rows and activations, on the other table
    // where there is one. It judges nothing; far from `matrices`, it says that samples do not tell.
    double cross_validation = 0;
};
Result<CheckedAccuracy> check_packed(const Preparation& preparation,
                                     std::span<const std::byte> segment,
                                     const AccuracyOptions& options, ThreadPool* pool = nullptr,
                                     const PercentSink& percent = {});

// Writes the worst ratio of each type, and the second measurement's, to `facts`.
void set_accuracy(shm::ModelFacts& facts, const CheckedAccuracy& accuracy);

struct FullAccuracy {
    std::vector<MatrixAccuracy> matrices;  // all rows, on the table "scalar"
    std::string table;                     // what the self-test compared "scalar" with, or empty
    Result<void> self_test;
};

// Every row of every matrix, and the self-test, both with the scalar reference: about ten seconds
// per billion weights. The error is that of reading the model. progress: of the matrices.
Result<FullAccuracy> full_accuracy(
    const Preparation& preparation, std::span<const std::byte> segment,
    const AccuracyOptions& options,
    const std::function<void(uint64_t done_bytes, uint64_t total_bytes)>& progress);

}  // namespace bitnetd::worker
