// The plan of a weights segment: which tensor of the model goes where, in which packing. Made from
// the hyperparameters; every tensor of the model is compared with what they predict, by name, shape
// and type, before any of its data is read. What the forward pass would not apply is refused: an
// ignored tensor is a wrong answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "shm/abi/weights_abi.h"
#include "worker/prepare/hyperparameters.h"
#include "worker/prepare/model_input.h"

namespace bitnetd::worker {

struct PlannedTensor {
    shm::TensorEntry entry;               // `scale` is set when the tensor is packed
    const ModelTensor* source = nullptr;  // in the input's tensors; null: a rotary table
    uint64_t first_row = 0;               // of the source: fused matrices are split by rows
    const ModelTensor* scale = nullptr;   // multiplies a ternary matrix; or null
};

struct WeightsPlan {
    std::vector<PlannedTensor> tensors;         // in order of their offsets
    const ModelTensor* rope_factors = nullptr;  // rope_freqs.weight, or null
    uint64_t segment_bytes = 0;
    uint64_t parameter_count = 0;
    std::string_view quantization;  // the stored type of most weights of linear layers
};

// The plan points into `input`, which must outlive it. output_screen: whether the output matrix
// gets one (pack_screen.h), where it can have one; else the large ones do.
Result<WeightsPlan> plan_weights(const ModelInput& input, const Hyperparameters& model,
                                 std::optional<bool> output_screen = {});

}  // namespace bitnetd::worker
