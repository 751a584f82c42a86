// The plan of a weights segment: which tensor of the file goes where, in which packing. Made from
// the hyperparameters; every tensor of the file is compared with what they predict, by name, shape
// and type, before any of its data is read. What the forward pass would not apply is refused: an
// ignored tensor is a wrong answer.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/gguf/gguf_reader.h"
#include "shm/abi/weights_abi.h"
#include "worker/prepare/hyperparameters.h"

namespace bitnetd::worker {

struct PlannedTensor {
    shm::TensorEntry entry;          // `scale` is set when the tensor is packed
    const gguf::TensorInfo* source;  // in the file's tensors; null: the rotary table
};

struct WeightsPlan {
    std::vector<PlannedTensor> tensors;              // in order of their offsets
    const gguf::TensorInfo* rope_factors = nullptr;  // rope_freqs.weight, or null
    uint64_t segment_bytes = 0;
    uint64_t parameter_count = 0;
    std::string_view quantization;  // the file's type of most ternary weights
};

// The plan points into `file`, which must outlive it.
Result<WeightsPlan> plan_weights(const gguf::File& file, const Hyperparameters& model);

}  // namespace bitnetd::worker
